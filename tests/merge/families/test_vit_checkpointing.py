"""Gradient checkpointing of a patched VisionTransformer recomputes what ran, however it was switched on."""

import pytest
import torch

import timm_mergemix as mm

from ...models import images, tiny
from ..patched import assert_holds_no_tensor
from .training import backward, count_attention


def before(model):
    model.set_grad_checkpointing(True)
    return mm.patch(model, 3)


def after(model):
    mm.patch(model, 3).set_grad_checkpointing(True)
    return model


def directly(model):
    mm.patch(model, 3).grad_checkpointing = True
    return model


def by_hand_before(model):
    model.grad_checkpointing = True
    return mm.patch(model, 3)


@pytest.mark.parametrize("enable", [before, after, directly, by_hand_before])
@pytest.mark.parametrize("drop", [0.0, 0.2])
def test_checkpointing_recomputes_the_same_gradients(enable, drop):
    options = {"proj_drop_rate": drop, "attn_drop_rate": drop, "drop_path_rate": drop}
    plain = mm.patch(tiny(**options), 3).train()
    x = images(plain, batch=4)
    out, grads = backward(plain, x)
    model = enable(tiny(**options)).train()
    assert mm.merge_info(model).grad_checkpointing
    calls = count_attention(model)
    recomputed_out, recomputed = backward(model, x)
    assert calls == [2, 2, 2]
    assert torch.equal(out, recomputed_out)
    assert all(torch.equal(grads[name], recomputed[name]) for name in grads)
    with torch.no_grad():
        model(x)
    assert calls == [3, 3, 3]
    assert_holds_no_tensor(model)


def test_checkpointing_can_be_switched_off_again():
    model = before(tiny()).train()
    model.set_grad_checkpointing(False)
    calls = count_attention(model)
    backward(model, images(model))
    assert calls == [1, 1, 1]
    assert not mm.merge_info(model).grad_checkpointing


@pytest.mark.parametrize("enabled", [False, True])
def test_unpatch_hands_checkpointing_back_to_timm(enabled):
    model = tiny()
    model.set_grad_checkpointing(not enabled)
    mm.patch(model, 3).set_grad_checkpointing(enabled)
    mm.unpatch(model)
    assert model.grad_checkpointing is enabled
    calls = count_attention(model.train())
    backward(model, images(model))
    # timm leaves the last block as it is where checkpointing it would save nothing.
    assert calls[0] == 1 + enabled


def test_checkpointing_goes_with_recorded_attention_and_autocast():
    model = after(tiny()).train()
    x = images(model)
    with mm.record(model) as rec, torch.autocast("cpu", dtype=torch.bfloat16):
        model(x).float().square().sum().backward()
    assert len(rec.forwards) == 1
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
