"""The blend of each kind, and the largest lam that leaves something of the partner."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from timm_mergemix.mix.blends import CutMixBlend, MixupBlend, Pairs, ResizeMixBlend
from timm_mergemix.mix.mergemix import MergeMixBlend
from timm_mergemix.saliency.passes import SaliencyPass
from timm_mergemix.vlm.blends import blend_of, grid_of, largest_lambda
from timm_mergemix.vlm.config import ImageMixConfig
from timm_mergemix.vlm.draw import LoserDraw

from ..merge.reference import randn
from ..mix.batches import noise, quick
from ..models import tiny
from .made import KINDS, WHOLE

SCALE = (0.1, 0.8)


def passed():
    return SaliencyPass(tiny())


def mixed(kind, images, seed=0, alpha=1.0, most=None):
    """Mixes the second half of the images into the first half."""
    config = ImageMixConfig(kind=kind, alpha=alpha)
    saliency = passed() if kind in ("mergemix", "random") else None
    count = len(images) // 2
    rows = torch.arange(count)
    most = largest_lambda(config, saliency, images) if most is None else most
    draw = LoserDraw(np.random.default_rng(seed), count, most)
    pairs = Pairs(images, torch.cat([rows + count, rows]), rows)
    return blend_of(config, saliency, SCALE)(pairs, draw)


@pytest.mark.parametrize(
    ("kind", "blend"),
    [
        ("mergemix", MergeMixBlend),
        ("random", MergeMixBlend),
        ("cutmix", CutMixBlend),
        ("mixup", MixupBlend),
        ("resizemix", ResizeMixBlend),
    ],
)
def test_each_kind_has_its_blend(kind, blend):
    saliency = passed() if kind in ("mergemix", "random") else None
    assert type(blend_of(ImageMixConfig(kind=kind), saliency, SCALE)) is blend


@pytest.mark.parametrize("kind", WHOLE)
def test_the_ratio_is_the_share_of_pixels(kind):
    blend = mixed(kind, randn(8, 3, 64, 64))
    torch.testing.assert_close(blend.ratio, blend.mask.float().mean(dim=(1, 2, 3)))


def test_attention_keeps_the_most_salient_patches():
    images = randn(8, 3, 64, 64)
    kept = mixed("mergemix", images, most=0.5).mask[:, 0, ::16, ::16]
    for saliency, own in zip(passed()(images[:4]), kept, strict=True):
        assert own.any() and saliency[own].min() >= saliency[~own].max()


def test_random_patches_do_not_run_the_encoder():
    saliency = passed()
    saliency.backbone.model.register_forward_pre_hook(lambda *args: pytest.fail("the encoder ran"))
    blend = blend_of(ImageMixConfig(kind="random"), saliency, SCALE)
    images = randn(4, 3, 64, 64)
    pairs = Pairs(images, torch.tensor([2, 3, 0, 1]), torch.tensor([0, 1]))
    assert blend(pairs, LoserDraw(np.random.default_rng(0), 2, 0.9)).ratio.shape == (2,)


def test_random_patches_are_uniformly_distributed():
    images = torch.zeros(1, 3, 64, 64).expand(600, -1, -1, -1)
    kept = mixed("random", images).mask[:, 0, ::16, ::16].float().mean(dim=0)
    assert (kept - kept.mean()).abs().max() < 0.1


def test_grid_of_returns_the_encoders_grid_for_the_images():
    assert grid_of(passed(), torch.zeros(1, 3, 100, 30)) == (4, 4)
    dynamic = SaliencyPass(tiny(dynamic_img_size=True))
    assert grid_of(dynamic, torch.zeros(1, 3, 100, 30)) == (7, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_lambda_leaves_one_patch_or_one_pixel(kind):
    images, saliency = torch.zeros(1, 3, 30, 40), passed() if kind in ("mergemix", "random") else None
    wanted = 1 - 1 / 16 if saliency else 1 - 1 / 900
    assert largest_lambda(ImageMixConfig(kind=kind), saliency, images) == pytest.approx(wanted, rel=1e-6)


@quick
@given(st.integers(1, 600), st.integers(1, 600), st.integers(0, 99))
def test_cutmix_leaves_a_pixel_of_the_partner_at_every_size(height, width, seed):
    images = torch.zeros(1, 1, height, width).expand(2, -1, -1, -1)
    blend = mixed("cutmix", images, seed, alpha=0.001)
    assert not blend.mask.all()


@pytest.mark.parametrize("side", [224, 336])
def test_cutmix_leaves_a_few_pixels_of_the_partner_at_common_image_sizes(side):
    images = torch.zeros(1, 1, side, side).expand(2, -1, -1, -1)
    config = ImageMixConfig(kind="cutmix")
    most = largest_lambda(config, None, images)
    assert math.isclose(most, 1 - 1 / side**2, rel_tol=1e-6)
    draw = LoserDraw(np.random.default_rng(0), 1, most)
    draw.beta = lambda alpha: np.array([most])
    blend = blend_of(config, None, SCALE)(Pairs(images, torch.tensor([1, 0]), torch.tensor([0])), draw)
    assert 0 < (~blend.mask).sum() <= 4


@pytest.mark.parametrize("kind", KINDS)
def test_uint8_images_stay_uint8(kind):
    images = noise(4, 3, 64, 64, dtype=torch.uint8)
    assert mixed(kind, images).images.dtype == torch.uint8
