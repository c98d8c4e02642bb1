"""The pixels of losers come from both images, always include the partner, and determine the ratio."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from timm_mergemix import MergeMixError
from timm_mergemix.saliency.passes import SaliencyPass
from timm_mergemix.vlm import ImageMixer
from timm_mergemix.vlm.raw import Raw

from ..mix.batches import noise, quick
from ..models import tiny, tiny_torchvision
from .made import KINDS, WHOLE, pairing_of, seeded, share_of_zero, zeros_and_ones

EACH = pytest.mark.parametrize("kind", KINDS)
ENCODER = tiny()
seeds, alphas = st.integers(0, 9999), st.sampled_from([0.01, 0.2, 1.0, 3.0])
sides = st.integers(16, 40)


def mixer(kind="mergemix", seed=0, encoder=None, **options):
    encoder = (encoder or ENCODER) if kind in ("mergemix", "random") else None
    return ImageMixer(encoder, kind, **({"generator": seeded(seed), "leave_out": ()} | options))


def rgb(width, height, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def array(image):
    return np.asarray(image.convert("RGB")) if isinstance(image, Image.Image) else image.permute(1, 2, 0).numpy()


@EACH
@pytest.mark.parametrize(("height", "width"), [(64, 64), (50, 70)])
def test_the_ratio_is_the_share_of_pixels_of_the_clean_image(kind, height, width):
    mixes = mixer(kind).mix(zeros_and_ones(16, height, width))
    assert mixes.ratio.dtype == torch.float32
    shares = [share_of_zero(image) for image in mixes.images]
    assert mixes.ratio.tolist() == pytest.approx(shares, abs=1e-6)


@EACH
@pytest.mark.parametrize("form", ["pil", "uint8"])
def test_the_ratio_is_the_share_of_pixels_of_raw_images(kind, form):
    mixes = mixer(kind, encoder_mean=(0.5,), encoder_std=(0.5,)).mix(zeros_and_ones(16, 37, 50, form))
    shares = [share_of_zero(image) for image in mixes.images]
    # Blended bytes are rounded.
    assert mixes.ratio.tolist() == pytest.approx(shares, abs=0.5 / 255 + 1e-6 if kind == "mixup" else 1e-6)


@pytest.mark.parametrize("kind", ["mergemix", "random"])
def test_the_share_of_tokens_differs_from_the_ratio_if_the_grid_does_not_divide_the_image(kind):
    mixes = mixer(kind).mix(zeros_and_ones(32, 50, 70))
    published = [(ratio * 16).round() / 16 for ratio in mixes.ratio]  # of the 4 x 4 patches
    shares = [share_of_zero(image) for image in mixes.images]
    assert published != pytest.approx(shares, abs=1e-3)


@EACH
def test_the_ratio_differs_from_image_to_image_and_from_call_to_call(kind):
    mix = mixer(kind)
    calls = [mix.mix(zeros_and_ones(8, 64, 64)).ratio for _ in range(4)]
    assert all(len(set(ratio.tolist())) >= 4 for ratio in calls)
    assert not any(torch.equal(calls[0], later) for later in calls[1:])
    published = np.random.default_rng(0).beta(1, 1)  # once per process
    assert not all(torch.allclose(ratio, torch.tensor(published).float(), atol=1 / 32) for ratio in calls)


@EACH
def test_the_ratio_differs_from_image_to_image_for_raw_images(kind):
    mix = mixer(kind, encoder_mean=(0.5,), encoder_std=(0.5,))
    calls = [mix.mix(zeros_and_ones(8, 37, 50, "pil")).ratio for _ in range(4)]
    assert all(len(set(ratio.tolist())) >= 4 for ratio in calls)
    assert not any(torch.equal(calls[0], later) for later in calls[1:])


@quick
@given(st.sampled_from(WHOLE), seeds, alphas, sides, sides)
def test_each_pixel_is_taken_unchanged_from_one_of_the_two_images(kind, seed, alpha, height, width):
    own, partners = noise(2, 3, height, width, seed=seed), noise(2, 3, height, width, seed=seed + 1)
    mixes = mixer(kind, seed, alpha=alpha).mix(pairing_of(own, partners))
    from_own, from_partner = ((mixes.images == side).all(dim=1) for side in (own, partners))
    assert (from_own ^ from_partner).all()
    torch.testing.assert_close(mixes.ratio, from_own.float().mean(dim=(1, 2)))


@quick
@given(seeds, alphas)
def test_mixup_is_the_weighted_mean_of_the_two_images(seed, alpha):
    own, partners = noise(3, 3, 9, 7, seed=seed), noise(3, 3, 9, 7, seed=seed + 1)
    mixes = mixer("mixup", seed, alpha=alpha).mix(pairing_of(own, partners))
    ratio = mixes.ratio.view(-1, 1, 1, 1)
    torch.testing.assert_close(mixes.images, ratio * own + (1 - ratio) * partners)


def test_resizemix_shows_the_whole_partner_in_a_box():
    own, partners = torch.zeros(8, 3, 40, 40), torch.ones(8, 3, 40, 40)
    mixes = mixer("resizemix", scale=(0.5, 0.5)).mix(pairing_of(own, partners))
    torch.testing.assert_close(mixes.ratio, torch.full((8,), 0.75))
    assert (mixes.images.sum(dim=(1, 2, 3)) == 3 * 20 * 20).all()


@quick
@given(st.sampled_from(KINDS), seeds, st.sampled_from([0.001, 0.01, 0.1]), sides, sides)
def test_part_of_the_partner_is_always_visible(kind, seed, alpha, height, width):
    mixes = mixer(kind, seed, alpha=alpha).mix(zeros_and_ones(8, height, width))
    assert (mixes.ratio < 1).all()
    assert (mixes.images.flatten(1).max(dim=1).values > 0).all()


@pytest.mark.parametrize("kind", ["mergemix", "random"])
@pytest.mark.parametrize("options", [{}, {"dynamic_img_size": True}], ids=["fixed", "dynamic"])
@pytest.mark.parametrize("size", [(100, 90), (70, 20), (3, 2)], ids=str)
def test_part_of_the_partner_is_always_visible_in_raw_images_of_any_size(kind, options, size):
    mix = mixer(kind, encoder=tiny(**options), alpha=0.001, encoder_mean=(0.5,), encoder_std=(0.5,))
    mixes = mix.mix(zeros_and_ones(32, *size, "pil"))
    assert mixes.ratio.tolist() == pytest.approx([share_of_zero(image) for image in mixes.images], abs=1e-6)
    assert (mixes.ratio < 1).all()


ENCODERS = {"timm": tiny, "torchvision": tiny_torchvision, "pooled": lambda: tiny(class_token=False, global_pool="avg")}


@pytest.mark.parametrize("encoder", ENCODERS)
def test_given_saliency_makes_the_same_mixes_as_the_mixers_own_pass(encoder):
    encoder = ENCODERS[encoder]()
    pairing = pairing_of(noise(6, 3, 64, 64), noise(6, 3, 64, 64, seed=1))
    first, second = mixer(encoder=encoder), mixer(encoder=encoder)
    saliency = second.saliency(noise(6, 3, 64, 64))
    one, two = first.mix(pairing), second.mix(pairing, saliency)
    assert torch.equal(one.images, two.images) and torch.equal(one.ratio, two.ratio)
    other = mixer(encoder=encoder).mix(pairing, saliency.max() - saliency)
    assert torch.equal(other.ratio, one.ratio) and not torch.equal(other.images, one.images)


def test_given_saliency_makes_the_same_mixes_of_raw_images():
    own, mixes = [rgb(50 + k, 40, seed=k) for k in range(4)], []
    pairing = pairing_of(own, [rgb(9, 9, seed=9)] * 4)
    for known in (False, True):
        mix = mixer(encoder_mean=(0.5,), encoder_std=(0.5,))
        shown = torch.stack([Raw.of(image).at((64, 64)) for image in own])
        mixes.append(mix.mix(pairing, mix.saliency(shown) if known else None))
    assert torch.equal(mixes[0].ratio, mixes[1].ratio)
    assert [image.tobytes() for image in mixes[0].images] == [image.tobytes() for image in mixes[1].images]


def test_each_raw_image_keeps_its_most_salient_patches():
    images = [rgb(64, 64, seed=k) for k in range(6)]
    mix = mixer(saliency_r=None, encoder_mean=(0.5,), encoder_std=(0.5,))
    mixes = mix.mix(pairing_of(images, [Image.new("RGB", (9, 9))] * 6))
    maps = mix.saliency(torch.stack([torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in images]))
    for image, mixed, saliency in zip(images, mixes.images, maps, strict=True):
        kept = torch.from_numpy((array(mixed) == array(image)).all(axis=2)).view(4, 16, 4, 16).all(dim=3).all(dim=1)
        assert not kept.any() or kept.all() or saliency[kept].min() > saliency[~kept].max()
    assert ((mixes.ratio > 0.2) & (mixes.ratio < 0.8)).any()


def test_raw_images_are_moved_to_the_device_of_the_encoder(monkeypatch):
    devices = []

    def watch(self, images):
        devices.append(images.device.type)
        return torch.ones(len(images), 4, 4)

    monkeypatch.setattr(SaliencyPass, "__call__", watch)
    mixer(encoder=tiny().to("meta"), encoder_mean=(0.5,), encoder_std=(0.5,)).mix(zeros_and_ones(2, 37, 50, "pil"))
    assert devices == ["meta"]


@EACH
@pytest.mark.parametrize("form", ["float", "uint8", "pil", "channels_last"])
def test_inputs_are_not_changed(kind, form):
    if form == "pil":
        own, partners = [rgb(40, 30), rgb(33, 64, 1)], [rgb(20, 20, 2), rgb(80, 9, 3)]
    else:
        dtype = torch.uint8 if form == "uint8" else torch.float32
        own, partners = (noise(2, 3, 64, 64, seed=seed, dtype=dtype) for seed in (0, 1))
        if form == "channels_last":
            own, partners = (each.to(memory_format=torch.channels_last) for each in (own, partners))
    pairing = pairing_of(own, partners)
    before = copy.deepcopy(pairing)
    saliency = torch.rand(2, 4, 4) if kind == "mergemix" else None
    given_ = None if saliency is None else saliency.clone()
    mixes = mixer(kind, encoder_mean=(0.5,), encoder_std=(0.5,)).mix(pairing, saliency)
    for side, wanted in ((pairing.own, before.own), (pairing.partners, before.partners)):
        for got, kept in zip(side, wanted, strict=True):
            assert np.array_equal(array(got.image), array(kept.image))
    assert saliency is None or torch.equal(saliency, given_)
    assert not any(np.array_equal(array(m), array(o.image)) for m, o in zip(mixes.images, pairing.own, strict=True))


@EACH
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_mixes_of_pil_images_have_the_size_of_the_clean_image_and_are_rgb(kind, mode):
    own, partners = [rgb(40, 30).convert(mode), rgb(33, 64, 1)], [rgb(20, 20, 2), rgb(80, 9, 3).convert(mode)]
    mixes = mixer(kind, encoder_mean=(0.5,), encoder_std=(0.5,)).mix(pairing_of(own, partners))
    assert isinstance(mixes.images, list) and mixes.ratio.shape == (2,)
    assert [(image.mode, image.size) for image in mixes.images] == [("RGB", (40, 30)), ("RGB", (33, 64))]


@pytest.mark.parametrize("kind", WHOLE)
def test_each_pixel_of_a_pil_mix_comes_from_the_clean_image_or_the_resized_partner(kind):
    own = rgb(40, 30)
    mixes = mixer(kind, encoder_mean=(0.5,), encoder_std=(0.5,)).mix(pairing_of([own], [Image.new("L", (7, 9), 77)]))
    pixels, clean = array(mixes.images[0]), array(own)
    from_own, from_partner = ((pixels == side).all(axis=2) for side in (clean, np.full_like(clean, 77)))
    assert (from_own | from_partner).all()
    assert mixes.ratio.item() == pytest.approx(from_own.mean(), abs=2e-3)


def test_uint8_images_of_different_sizes_are_mixed():
    own = [noise(3, 40, 30, dtype=torch.uint8), noise(3, 20, 64, dtype=torch.uint8, seed=1)]
    mixes = mixer("cutmix").mix(pairing_of(own, own[::-1]))
    assert [image.shape for image in mixes.images] == [(3, 40, 30), (3, 20, 64)]
    assert all(image.dtype == torch.uint8 for image in mixes.images)


def test_uint8_images_of_the_same_size_stay_uint8():
    mixes = mixer("cutmix").mix(zeros_and_ones(3, 20, 20, "uint8"))
    assert mixes.images.shape == (3, 3, 20, 20) and mixes.images.dtype == torch.uint8


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@EACH
def test_mixes_keep_the_dtype_of_the_images(kind, dtype):
    pairing = pairing_of(noise(2, 3, 64, 64).to(dtype), noise(2, 3, 64, 64, seed=1).to(dtype))
    mixes = mixer(kind).mix(pairing)
    assert mixes.images.dtype == dtype and mixes.ratio.dtype == torch.float32


def test_partners_with_other_channels_are_refused():
    grey, colour = torch.zeros(1, 8, 8, dtype=torch.uint8), torch.zeros(3, 9, 8, dtype=torch.uint8)
    with pytest.raises(MergeMixError, match=r"^images: got .* of shape \(1, 8, 8\), wanted images of 3 channels"):
        mixer("cutmix").mix(pairing_of([colour, grey], [grey, colour]))


def test_clean_images_of_different_channels_are_refused_before_the_encoder_runs():
    grey, colour = torch.zeros(1, 8, 8, dtype=torch.uint8), torch.zeros(3, 9, 8, dtype=torch.uint8)
    mix = mixer(encoder_mean=(0.5,), encoder_std=(0.5,))
    with pytest.raises(MergeMixError, match=r"^images: got"):
        mix.mix(pairing_of([colour, grey], [colour, grey]))


def test_float_images_of_different_sizes_are_refused():
    with pytest.raises(MergeMixError, match=r"^images: got a float32 .*wanted .*float tensors of the same size"):
        mixer("cutmix").mix(pairing_of([torch.zeros(3, 8, 8), torch.zeros(3, 9, 9)], [torch.ones(3, 8, 8)] * 2))


def test_raw_images_require_encoder_statistics_if_the_encoder_has_none():
    with pytest.raises(MergeMixError, match=r"^encoder_mean, encoder_std: got None, wanted 3 numbers each \(needed"):
        mixer(encoder=tiny_torchvision()).mix(zeros_and_ones(2, 64, 64, "pil"))
