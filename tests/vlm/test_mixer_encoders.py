"""Encoders for ImageMixer: a vision-language model, a part of it, or another model; patched or not."""

from __future__ import annotations

import pytest
import torch

import timm_mergemix as mm
from timm_mergemix.vlm import ImageMixer

from ..merge.vlm.models import BUILDERS, R
from ..mix.batches import noise
from ..models import tiny
from .made import pairing_of, seeded

PARTS = {
    "the model in training": lambda model: model,
    "the model without its head": lambda model: model.model,
    "its vision model": lambda model: model.model.vision_tower,
}


def mixed(encoder, **options):
    mix = ImageMixer(encoder, leave_out=(), **({"generator": seeded(), "saliency_r": None} | options))
    pairing = pairing_of(noise(4, 3, 32, 32), noise(4, 3, 32, 32, seed=1))
    return mix.mix(pairing), mix


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", BUILDERS)
def test_each_part_of_a_vision_language_model_leads_to_its_vision_model(name, part):
    model = BUILDERS[name]()
    mixes, mix = mixed(PARTS[part](model))
    wanted, _ = mixed(model)
    assert any(module is mix.saliency.backbone.model for module in model.model.vision_tower.modules())
    assert torch.equal(mixes.images, wanted.images)


def test_the_attention_equals_that_of_the_vision_model_alone():
    model = BUILDERS["llava"]()
    _, mix = mixed(model)
    images = noise(3, 3, 32, 32)
    torch.testing.assert_close(mix.saliency(images), mm.saliency_map(model.model.vision_tower, images))


def test_the_saliency_pass_merges_as_the_patched_model_unless_saliency_r_is_set():
    model, plain = mm.patch(BUILDERS["llava"](), R["llava"]), BUILDERS["llava"]()
    images = noise(3, 3, 32, 32)
    found = {r: [mixed(each, saliency_r=r)[1].saliency(images) for each in (model, plain)] for r in (None, 0, 2)}
    assert not torch.allclose(*found[None])
    torch.testing.assert_close(*found[0])
    torch.testing.assert_close(*found[2])


def test_patching_the_encoder_later_affects_the_mixer():
    model = BUILDERS["llava"]()
    _, mix = mixed(model)
    mm.patch(model, R["llava"])
    images = noise(3, 3, 32, 32)
    torch.testing.assert_close(mix.saliency(images), mixed(model)[1].saliency(images))


@pytest.mark.parametrize("kind", ["mergemix", "random"])
def test_an_encoder_outside_the_model_can_be_used(kind):
    mixes, mix = mixed(tiny("vit_tiny_patch16_224"), kind=kind)
    assert type(mix.saliency.backbone.model).__name__ == "VisionTransformer"
    assert mixes.images.shape == (4, 3, 32, 32) and (mixes.ratio < 1).all()


def test_mixing_leaves_the_encoder_unchanged():
    model = BUILDERS["llava"]().train()
    before = {key: (type(module), dict(vars(module))) for key, module in model.named_modules()}
    mixed(model)
    assert before == {key: (type(module), dict(vars(module))) for key, module in model.named_modules()}
    assert all(parameter.grad is None for parameter in model.parameters())
