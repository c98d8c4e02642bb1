"""Encoders of losers: a vision-language model, what is inside it, or any other; patched or not."""

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
def test_each_part_of_a_vision_language_model_is_read_by_its_vision_model(name, part):
    model = BUILDERS[name]()
    mixes, mix = mixed(PARTS[part](model))
    wanted, _ = mixed(model)
    assert any(module is mix.saliency.backbone.model for module in model.model.vision_tower.modules())
    assert torch.equal(mixes.images, wanted.images)


def test_the_attention_is_that_of_the_vision_model_by_itself():
    model = BUILDERS["llava"]()
    _, mix = mixed(model)
    images = noise(3, 3, 32, 32)
    torch.testing.assert_close(mix.saliency(images), mm.saliency_map(model.model.vision_tower, images))


def test_a_pass_of_a_patched_model_merges_as_it_does_unless_told_how():
    model, plain = mm.patch(BUILDERS["llava"](), R["llava"]), BUILDERS["llava"]()
    images = noise(3, 3, 32, 32)
    found = {r: [mixed(each, saliency_r=r)[1].saliency(images) for each in (model, plain)] for r in (None, 0, 2)}
    assert not torch.allclose(*found[None])
    torch.testing.assert_close(*found[0])
    torch.testing.assert_close(*found[2])


def test_a_mixer_made_before_its_encoder_is_patched_sees_it_patched():
    model = BUILDERS["llava"]()
    _, mix = mixed(model)
    mm.patch(model, R["llava"])
    images = noise(3, 3, 32, 32)
    torch.testing.assert_close(mix.saliency(images), mixed(model)[1].saliency(images))


@pytest.mark.parametrize("kind", ["mergemix", "random"])
def test_any_other_encoder_will_do(kind):
    mixes, mix = mixed(tiny("vit_tiny_patch16_224"), kind=kind)
    assert type(mix.saliency.backbone.model).__name__ == "VisionTransformer"
    assert mixes.images.shape == (4, 3, 32, 32) and (mixes.ratio < 1).all()


def test_mixing_leaves_the_encoder_as_it_was():
    model = BUILDERS["llava"]().train()
    before = {key: (type(module), dict(vars(module))) for key, module in model.named_modules()}
    mixed(model)
    assert before == {key: (type(module), dict(vars(module))) for key, module in model.named_modules()}
    assert all(parameter.grad is None for parameter in model.parameters())
