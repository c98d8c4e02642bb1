"""SigLIP of transformers has no class token: its head pools patches by attention, which tells their saliency."""

from __future__ import annotations

import pytest
import torch

import timm_mergemix as mm
from timm_mergemix.merge.find.search import find_backbone

from ...reference import relative_error
from .tiny import build, needs_transformers

pytestmark = needs_transformers


def images():
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("has_bias", [True, False])
def test_the_pool_is_read_with_and_without_biases(has_bias):
    model, seen = build("hf siglip"), []
    if not has_bias:
        model.head.attention.in_proj_bias = None
    model.head.attention.register_forward_hook(lambda module, args, out: seen.append(out[1]))
    with torch.no_grad():
        model(images())
    torch.testing.assert_close(mm.saliency_map(model, images(), layer="pool").flatten(1), seen[0][:, 0])


def test_the_pool_of_a_merged_pass_sees_all_patches():
    model, seen = mm.patch(build("hf siglip"), 3), []
    handle = model.head.attention.register_forward_hook(lambda module, args, out: seen.append(out[1]))
    with torch.no_grad():
        model(images())
    handle.remove()
    saliency = mm.saliency_map(model, images(), layer="pool")
    torch.testing.assert_close(saliency.flatten(1), seen[0][:, 0])
    assert saliency[0].unique().numel() <= 16 - 9


def test_a_mix_may_be_made_of_the_pools_attention():
    mix = mm.MergeMix(build("hf siglip"), 10, layer="pool", generator=torch.Generator().manual_seed(0))
    assert mix.mix(images(), torch.arange(2)).images.shape == (2, 3, 64, 64)


def test_a_tower_without_a_head_has_no_pool():
    model = build("hf siglip, no head")
    assert find_backbone(model).pool is None
    with pytest.raises(mm.MergeMixError, match=r"^layer: got 'pool', .* no attention pool"):
        mm.saliency_map(model, images(), layer="pool")
    assert mm.patch(model, 3)(images()).pooler_output is None


def test_a_whole_siglip_merges_its_images_alone():
    model = build("hf siglip, whole")
    call = {"pixel_values": images(), "input_ids": torch.arange(16).view(2, 8)}
    with torch.no_grad():
        plain, merged = model(**call), mm.patch(model, 3)(**call)
    assert torch.equal(plain.text_embeds, merged.text_embeds)
    assert relative_error(merged.image_embeds, plain.image_embeds) > 1e-4
    assert "no text model is supported" in mm.supported(model.text_model).reason
