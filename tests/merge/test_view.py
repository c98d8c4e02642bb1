"""A view of a model computes what the model does, and what is done to it concerns nobody else."""

from functools import partial
from types import MethodType

import pytest
import torch
from torch import nn

from timm_mergemix.merge.view import eval_view, view_of

from ..models import images, tiny
from .patched import assert_unchanged, snapshot


def test_a_view_computes_the_same_in_eval_mode():
    model = tiny(drop_rate=0.5).train()
    before, x = snapshot(model), images(model)
    view = eval_view(model)
    assert type(view) is type(model)
    assert not any(module.training for module in view.modules())
    assert torch.equal(view(x), view(x))
    assert_unchanged(before, model)
    assert torch.equal(view(x), model.eval()(x))


def test_parameters_and_buffers_are_those_of_the_model():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    view = eval_view(model)
    assert list(map(id, view.parameters())) == list(map(id, model.parameters()))
    model.double()  # replaces the buffers
    assert list(map(id, view.buffers())) == list(map(id, model.buffers()))


def test_what_is_done_to_a_view_concerns_nobody_else():
    model = tiny()
    before = snapshot(model)
    view = eval_view(model)
    view.blocks[0].__class__ = type("Other", (type(view.blocks[0]),), {})
    view.blocks[0].attn.register_forward_hook(lambda *_: None)
    view.norm.register_forward_pre_hook(lambda *_: None)
    view.patch_embed.flatten = False
    view.train()
    assert_unchanged(before, model)


def test_modules_that_are_shared_stay_shared():
    layer = nn.Linear(2, 2)
    view = eval_view(nn.Sequential(layer, nn.Identity(), layer))
    assert view[0] is view[2] is not layer


def test_hooks_of_the_model_run():
    model, seen = tiny(), []
    model.norm.register_forward_hook(lambda *_: seen.append(1))
    eval_view(model)(images(model))
    assert seen == [1]


class Switch(nn.Module):
    """Tells the mode in which it runs."""

    def forward(self, x):
        return x + self.training


def test_a_forward_that_was_replaced_by_a_method_or_a_partial_call_runs_on_the_view():
    def twice(module, x):
        return 2 * module.kept(x)

    for wrap in (MethodType(twice, model := Switch()), partial(twice, model)):
        model.kept = MethodType(Switch.forward, model)
        model.forward = wrap
        x = torch.ones(1)
        assert model.train()(x).item() == 4
        assert eval_view(model)(x).item() == 2
    assert model.training


def test_a_compiled_call_is_left_to_the_model():
    model = Switch().train()
    model.compile(backend="eager")
    assert eval_view(model)(torch.ones(1)).item() == 1


class Referring(nn.Module):
    """Refers to a module outside its children, in one of several ways."""

    def __init__(self, way):
        super().__init__()
        self.switch = Switch()
        if way == "attribute":
            object.__setattr__(self, "other", self.switch)
        elif way == "list":
            self.others = [self.switch]
        elif way == "keyword":
            self.call = partial(self.run, module=self.switch)
        elif way == "hook":
            self.register_forward_hook(
                MethodType(lambda module, _, args, output: output + module.training, self.switch)
            )
        elif way == "compiled":
            self.switch = torch.compile(self.switch, backend="eager")
        self.way = way

    def run(self, x, module):
        return module(x)

    def forward(self, x):
        if self.way == "attribute":
            return self.other(x)
        if self.way == "list":
            return self.others[0](x)
        if self.way == "keyword":
            return self.call(x)
        return x if self.way == "hook" else self.switch(x)


@pytest.mark.parametrize("way", ["attribute", "list", "keyword", "hook", "compiled"])
def test_modules_are_found_wherever_they_are_referred_to(way):
    model = Referring(way).train()
    x = torch.ones(1)
    assert model(x).item() == 2
    assert eval_view(model)(x).item() == 1
    assert model(x).item() == 2


def test_scripted_parts_are_shared():
    part = torch.jit.script(nn.Linear(2, 2))
    view = eval_view(nn.Sequential(part, nn.Dropout()))
    x = torch.ones(1, 2)
    assert view[0] is part
    assert torch.equal(view(x), part(x))


def test_a_view_keeps_the_modes_unless_it_is_asked_for_eval_mode():
    model = nn.Sequential(nn.Dropout(), nn.Dropout().eval())
    assert [module.training for module in view_of(model)] == [True, False]
    assert [module.training for module in eval_view(model)] == [False, False]
