"""A saliency pass changes nothing: no mode, weight, statistic, patch, image, gradient or random number."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import timm_mergemix as mm
from timm_mergemix import saliency_map
from timm_mergemix.merge.model import MergingModel
from timm_mergemix.saliency.config import SaliencyConfig
from timm_mergemix.saliency.passes import SaliencyPass

from ..merge.families.cases import build
from ..merge.patched import assert_holds_no_tensor
from ..mix.batches import noise
from ..models import images, tiny
from .states import DROPPING, assert_as_before, states, with_batch_norm

MODEL = tiny()


@pytest.mark.parametrize("r", [None, 0, 3])
def test_a_model_in_training_stays_as_it_was(r: object) -> None:
    model = with_batch_norm(**DROPPING).train()
    model.blocks[1].eval()
    model.blocks[2].attn.training = False
    next(model.parameters()).requires_grad_(False)
    x = images(model, 4)
    torch.manual_seed(0)
    before = states(model)
    saliency = saliency_map(model, x, r=r)
    assert_as_before(model, before)
    assert saliency.grad_fn is None
    # As in eval mode: no dropout, no patch dropout, running statistics.
    assert saliency.shape == (4, 4, 4)
    assert torch.equal(saliency, saliency_map(model.eval(), x, r=r))


@pytest.mark.parametrize("layer", [2, "pool"])
def test_no_block_records_a_graph(layer: object) -> None:
    model = build("attention pool").train()
    seen: list[bool] = []

    def look(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append(torch.is_grad_enabled() or output.requires_grad)

    x = images(model).requires_grad_()
    with model.patch_embed.register_forward_hook(look), model.blocks[1].register_forward_hook(look):
        saliency_map(model, x, layer, r=2)
    assert seen == [False, False]


def test_a_training_forward_would_have_changed_the_statistics() -> None:
    """The model of the test above is one whose statistics a pass in training mode changes."""
    model = with_batch_norm().train()
    before = model.patch_embed.norm.running_mean.clone()
    model(images(model, 4))
    assert not torch.equal(model.patch_embed.norm.running_mean, before)


@pytest.mark.parametrize("patched", [False, True])
@pytest.mark.parametrize("where", ["blocks.0", "blocks.1.mlp", "patch_embed"])
def test_a_failing_encoder_stays_as_it_was(patched: bool, where: str) -> None:
    model = with_batch_norm(**DROPPING).train()
    model.blocks[2].eval()
    if patched:
        mm.patch(model, 2)

    class FailureError(RuntimeError):
        pass

    def fail(module: nn.Module, args: object) -> None:
        raise FailureError

    x = images(model, 2)
    before = states(model)
    for r in (None, 3):
        with model.get_submodule(where).register_forward_pre_hook(fail), pytest.raises(FailureError):
            saliency_map(model, x, layer=2, r=r)
        assert_as_before(model, before)
        assert isinstance(model, MergingModel) == patched
        if patched:
            assert mm.merge_info(model).r == 2
            assert_holds_no_tensor(model)
    model.eval()
    assert torch.equal(saliency_map(model, x, r=2), saliency_map(mm.unpatch(model), x, r=2))


@pytest.mark.parametrize("r", [0, 2, ("keep", 0.5)])
@pytest.mark.parametrize("name", ["vit", "average, registers"])
def test_the_map_is_the_same_whether_the_model_is_patched_or_not(r: object, name: str) -> None:
    model, x = build(name), images(build(name))
    plain = saliency_map(model, x, r=r)
    assert type(model).__name__ == "VisionTransformer"
    mm.patch(model, 1, prop_attn=True)
    assert torch.equal(saliency_map(model, x, r=r), plain)
    assert mm.merge_info(model).r == 1
    mm.patch(model, r)
    assert torch.equal(saliency_map(model, x), plain)


def test_a_forward_after_the_pass_is_the_same() -> None:
    model, x = mm.patch(tiny(), 3), images(tiny())
    wanted = model(x)
    saliency_map(model, x)
    assert torch.equal(model(x), wanted)
    saliency_map(model, x, r=5)
    assert torch.equal(model(x), wanted)


def test_inside_autocast_a_training_forward_still_gets_all_gradients() -> None:
    """A weight that autocast casts without gradient must not lie in its cache when the training forward casts it."""
    model = tiny().train()
    x = images(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        saliency = saliency_map(model, x, layer=2)
        loss = model(x).float().square().sum()
    loss.backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
    assert saliency.dtype == torch.float32
    torch.testing.assert_close(saliency, saliency_map(model, x, layer=2), rtol=0.1, atol=0.01)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(x).dtype == torch.bfloat16  # the caller's autocast goes on
        assert torch.is_autocast_cache_enabled()


def test_the_pass_is_outside_the_autocast_cache() -> None:
    """torch 2.6 would hand the cast without gradient on to the training forward; newer ones look at the grad mode."""
    seen: list[tuple[bool, bool, torch.dtype]] = []

    def look(module: nn.Module, args: object) -> None:
        enabled = torch.is_autocast_enabled("cpu")
        seen.append((torch.is_autocast_cache_enabled(), enabled, torch.get_autocast_dtype("cpu")))

    model = tiny()
    for enabled in (True, False):
        with model.blocks[0].register_forward_pre_hook(look), torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            saliency_map(model, images(model))
    assert seen == [(False, True, torch.bfloat16), (False, False, torch.bfloat16)]


def test_a_pool_that_is_read_along_is_outside_the_autocast_cache() -> None:
    model = build("attention pool").train()
    x = images(model)
    seen: list[tuple[bool, bool]] = []

    def look(module: nn.Module, args: object) -> None:
        seen.append((torch.is_grad_enabled(), torch.is_autocast_cache_enabled()))

    with model.attn_pool.kv.register_forward_pre_hook(look), torch.autocast("cpu", torch.bfloat16):
        with SaliencyPass(model, SaliencyConfig(saliency_r=None, layer="pool")).reading(x) as read:
            loss = model(x).float().square().sum()
        assert read().shape == (len(x), 4, 4)
    assert seen == [(False, False), (True, True)]
    loss.backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_the_images_are_untouched() -> None:
    for x in (images(MODEL), noise(2, 3, 64, 64, dtype=torch.uint8), noise(2, 3, 50, 70).requires_grad_()):
        before, version = x.detach().clone(), x._version
        saliency_map(MODEL, x)
        assert torch.equal(x, before)
        assert x._version == version
        assert x.grad is None


def test_a_users_forward_hook_on_the_model_has_no_part_in_it() -> None:
    calls: list[int] = []
    with MODEL.register_forward_hook(lambda *args: calls.append(1)):
        saliency_map(MODEL, images(MODEL))
    assert calls == []


@pytest.mark.parametrize("matching", ["random", "bipartite"])
def test_the_rng_stays_where_it_is_with_every_matching(matching):
    model = mm.patch(tiny(), 3, matching=matching)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    mm.saliency_map(model, images(model))
    assert torch.equal(torch.get_rng_state(), state)
