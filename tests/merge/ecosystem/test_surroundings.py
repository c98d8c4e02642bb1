"""Dtypes, layouts, devices without data, functional calls, copies, hooks."""

import copy
import io
import pickle

import pytest
import torch
from torch.func import functional_call, grad

import timm_mergemix as mm

from ..families.cases import build
from ..patched import merging_state
from ..reference import relative_error
from .common import NAMES, batch, each_model, equal, gradients, loss_of

SCHEDULE = [3, 2, 1]


def saved(model):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@each_model
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model)), saved])
def test_copies_in_the_middle_of_training_share_nothing(name, duplicate):
    model = mm.patch(build(name), SCHEDULE).train()
    model.set_grad_checkpointing()
    x = batch(model)
    wanted = gradients(model, x)
    loss = loss_of(model(x))  # its graph is alive while the model is copied
    other = duplicate(model)
    assert equal(gradients(other, x), wanted)
    assert merging_state(other) is not merging_state(model)
    mm.unpatch(other)
    assert type(other) is type(build(name))
    assert not any(module._forward_hooks for module in other.modules())
    assert torch.equal(other.eval()(x), build(name)(x))
    model.zero_grad()
    loss.backward()
    assert equal([parameter.grad for parameter in model.parameters()], wanted)


@each_model
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_whole_models_take_other_dtypes(name, dtype):
    plain, x = build(name).to(dtype), batch(build(name)).to(dtype)
    model = mm.patch(build(name), 0).to(dtype)
    assert torch.equal(model(x), plain(x))
    mm.patch(model, 1)
    with mm.record(model) as rec:
        out = model(x)
    assert out.dtype is dtype
    assert rec.layers[-1].size.dtype is torch.float32
    wanted = mm.patch(build(name), 1)(x.float())
    # Near ties may be decided otherwise; a wrong sum would be off by far more.
    assert relative_error(out.float(), wanted) < 0.3
    assert all(gradient.isfinite().all() and gradient.dtype is dtype for gradient in gradients(model, x))


@each_model
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_lowers_the_output_and_neither_sizes_nor_gradients(name, dtype):
    plain, model = build(name), mm.patch(build(name), 0)
    x = batch(model)
    with torch.autocast("cpu", dtype):
        assert torch.equal(model(x), plain(x))
        mm.patch(model, 1)
        with mm.record(model) as rec:
            out = model(x)
        got = gradients(model, x)
    assert out.dtype is dtype
    assert rec.layers[-1].size.dtype is rec.layers[-1].attention.dtype is torch.float32
    assert relative_error(out.float(), model(x)) < 0.3
    assert all(gradient.dtype is torch.float32 and gradient.isfinite().all() for gradient in got)


@each_model
def test_channels_last_changes_nothing(name):
    model = mm.patch(build(name), SCHEDULE)
    x = batch(model)
    wanted = model(x)
    model.to(memory_format=torch.channels_last)
    got = model(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


@each_model
def test_inference_mode_leaves_nothing_behind(name):
    model = mm.patch(build(name), SCHEDULE)
    x = batch(model)
    wanted = gradients(model, x)
    with torch.inference_mode():
        out = model(x)
        model.forward_intermediates(x)
    assert torch.equal(out, model(x))
    assert equal(gradients(model, x), wanted)


@each_model
def test_a_model_may_be_patched_on_the_meta_device_and_filled_later(name):
    weights = build(name).state_dict()
    x = batch(build(name))
    model = mm.patch(build(name).to("meta"), SCHEDULE)
    assert mm.merge_info(model).merges == tuple(SCHEDULE)
    assert list(model.state_dict()) == list(weights)
    model.load_state_dict(weights, assign=True)
    others = {key: value for key, value in build(name).named_buffers() if key not in weights}
    for key, value in others.items():  # positions that are no part of a state dict
        model.get_submodule(key.rpartition(".")[0]).register_buffer(key.rpartition(".")[2], value, persistent=False)
    assert torch.equal(model(x), mm.patch(build(name), SCHEDULE)(x))


@each_model
def test_a_forward_runs_on_the_meta_device(name):
    model = mm.patch(build(name), SCHEDULE).to("meta")
    assert model(batch(build(name)).to("meta")).shape == (2, 10)


@each_model
def test_a_functional_call_uses_the_weights_that_it_is_given(name):
    model, other = mm.patch(build(name), SCHEDULE), mm.patch(build(name, seed=1), SCHEDULE)
    x, weights = batch(model), {key: value.detach() for key, value in other.named_parameters()}
    wanted = other(x)
    assert torch.equal(functional_call(model, weights, x), wanted)
    assert not torch.equal(model(x), wanted)
    got = grad(lambda values: loss_of(functional_call(model, values, x)))(weights)
    torch.testing.assert_close(list(got.values()), gradients(other, x))


@each_model
def test_accumulated_gradients_are_those_of_the_whole_batch(name):
    model = mm.patch(build(name), SCHEDULE).train()
    x = batch(model, 4)
    wanted = gradients(model, x)
    model.zero_grad()
    losses = [loss_of(model(part)) for part in x.chunk(2)]  # both forward passes before the first backward pass
    for loss in losses:
        (loss / 2).backward()
    torch.testing.assert_close([parameter.grad for parameter in model.parameters()], wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@each_model
def test_hooks_of_the_user_survive(name):
    model = build(name)
    x, seen, handles = batch(model), [], []
    watched = [model, model.blocks[1], model.blocks[1].attn, model.blocks[1].attn.k_norm, model.blocks[1].mlp]

    def note(event):
        return lambda *_: seen.append(event)

    for i, module in enumerate(watched):
        handles.append(module.register_forward_pre_hook(note(("before", i))))
        handles.append(module.register_forward_hook(note(("after", i))))
        handles.append(module.register_full_backward_hook(note(("backward", i))))

    def events():
        seen.clear()
        gradients(model, x)
        return sorted(seen)

    wanted = [(event, i) for event in ("after", "backward", "before") for i in range(len(watched))]
    assert events() == wanted
    mm.patch(model, SCHEDULE)
    # A hook that is added while the model is patched stays too.
    late = model.blocks[0].attn.k_norm.register_forward_hook(note(("late", 0)))
    assert events() == sorted([*wanted, ("late", 0)])
    mm.unpatch(model)
    assert events() == sorted([*wanted, ("late", 0)])
    late.remove()
    for handle in handles:
        handle.remove()
    assert events() == []
    assert not any(module._forward_hooks for module in model.modules())


def test_a_hook_that_changes_the_keys_changes_what_merges():
    model, plain = mm.patch(build(NAMES[0]), 3), mm.patch(build(NAMES[0]), 3)
    # Registered after the library's own hook, so its output reaches the attention alone.
    model.blocks[0].attn.k_norm.register_forward_hook(lambda module, args, out: -out)
    x = batch(model)
    with mm.record(model, attention=False) as rec, mm.record(plain, attention=False) as other:
        assert not torch.allclose(model(x), plain(x), rtol=1e-3)
    assert torch.equal(rec.layers[0].source, other.layers[0].source)
