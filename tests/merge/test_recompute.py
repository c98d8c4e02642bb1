"""A checkpoint of the user's own recomputes what the forward pass computed, or says that it cannot."""

import pytest
import torch
from timm.models import checkpoint_seq
from torch import nn
from torch.utils.checkpoint import checkpoint

import timm_mergemix as mm
from timm_mergemix import MergeMixError

from ..models import images, tiny, tiny_torchvision
from .families.training import backward
from .patched import blocks_of

REENTRANT = pytest.mark.parametrize("reentrant", [True, False])


class Checkpointing(nn.Module):
    """Runs a part of a model inside a checkpoint."""

    def __init__(self, part, reentrant):
        super().__init__()
        self.part, self.reentrant = part, reentrant

    def forward(self, x):
        return checkpoint(self.part, x, use_reentrant=self.reentrant)


def gradients(model, out):
    model.zero_grad()
    out.square().sum().backward()
    return [parameter.grad.clone() for parameter in model.parameters()]


@REENTRANT
@pytest.mark.parametrize("matching", ["bipartite", "pitome"])
def test_a_change_of_settings_before_the_backward_pass_changes_no_gradient(reentrant, matching):
    model = mm.patch(tiny(), 3)
    x = images(model).requires_grad_()
    wanted = gradients(model, model(x))
    wrapper = Checkpointing(model, reentrant)
    out = wrapper(x)
    mm.patch(model, 3, matching=matching, prop_attn=False)
    model(images(model))
    assert all(torch.equal(a, b) for a, b in zip(gradients(model, out), wanted, strict=True))


@REENTRANT
def test_each_checkpoint_knows_how_it_ran(reentrant):
    model = mm.patch(tiny(), 3)
    x, wrapper = images(model).requires_grad_(), Checkpointing(model, reentrant)
    one, wanted = wrapper(x), model(x)
    with mm.merging(model, matching="pitome"):
        other, also = wrapper(x), model(x)
    got = gradients(model, one + other)
    assert all(torch.allclose(a, b, rtol=1e-5) for a, b in zip(got, gradients(model, wanted + also), strict=True))


@REENTRANT
def test_settings_may_change_from_step_to_step(reentrant):
    model = tiny()
    x, wrapper = images(model).requires_grad_(), Checkpointing(model, reentrant)
    for r in (2, 3, 0):
        mm.patch(model, r)
        assert all(
            torch.equal(a, b) for a, b in zip(gradients(model, wrapper(x)), gradients(model, model(x)), strict=True)
        )
        with torch.no_grad(), mm.merging(model, 1):
            wrapper(x)


@REENTRANT
def test_several_settings_inside_one_checkpoint_are_refused(reentrant):
    model = mm.patch(tiny(), 3)

    def both(x):
        with mm.merging(model, matching="pitome"):
            return model(x) + model.forward_head(model.forward_features(x))

    with pytest.raises(MergeMixError, match="r: got several settings inside one checkpoint"):
        checkpoint(both, images(model).requires_grad_(), use_reentrant=reentrant).sum().backward()


@REENTRANT
def test_other_images_under_other_settings_do_not_matter(reentrant):
    model = mm.patch(tiny(), 3)
    x, wrapper = images(model).requires_grad_(), Checkpointing(model, reentrant)
    wanted = gradients(model, model(x))
    out = wrapper(x)
    with mm.merging(model, matching="pitome"), torch.no_grad():
        wrapper(images(model).requires_grad_())
        model(x)
    assert all(torch.equal(a, b) for a, b in zip(gradients(model, out), wanted, strict=True))


@REENTRANT
def test_a_checkpoint_around_blocks_knows_the_only_settings_that_it_has_seen(reentrant):
    model = mm.patch(tiny(), 3)
    x = images(model).requires_grad_()
    wanted = gradients(model, model(x))
    blocks, model.blocks = model.blocks, nn.Sequential()
    model.blocks = blocks
    tokens = model._pos_embed(model.patch_embed(x))
    wrapper = Checkpointing(blocks, reentrant)
    out = model.forward_head(model.norm(wrapper(model.norm_pre(tokens))))
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in zip(gradients(model, out), wanted, strict=True))


@REENTRANT
def test_checkpoints_around_single_blocks_are_refused(reentrant):
    model = mm.patch(tiny(), 3)
    tokens = model._pos_embed(model.patch_embed(images(model)))
    out = checkpoint_seq(model.blocks, tokens, use_reentrant=reentrant)
    with pytest.raises(MergeMixError, match="a checkpoint around single blocks runs them again"):
        out.sum().backward()


def test_the_models_own_checkpointing_needs_none_of_it():
    model = mm.patch(tiny(), 3)
    x = images(model)
    wanted = backward(model, x)
    model.set_grad_checkpointing()
    got = backward(model, x)
    torch.testing.assert_close(got, wanted)


@REENTRANT
@pytest.mark.parametrize("build", [tiny, tiny_torchvision])
def test_a_checkpoint_around_all_blocks_inside_the_model_recomputes_them(reentrant, build):
    model = mm.patch(build(), 3)
    x = images(model).requires_grad_()
    wanted = gradients(model, model(x))
    run = blocks_of(model).forward
    blocks_of(model).forward = lambda tokens: checkpoint(run, tokens, use_reentrant=reentrant)
    out = model(x)
    mm.patch(model, 5)
    assert all(torch.equal(a, b) for a, b in zip(gradients(model, out), wanted, strict=True))
