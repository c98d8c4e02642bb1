"""What a saliency pass cannot use is refused by name before anything has changed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import timm_mergemix as mm
from timm_mergemix import MergeMixError, saliency_map
from timm_mergemix.saliency.config import SaliencyConfig
from timm_mergemix.saliency.passes import SaliencyPass

from ..models import images, tiny, tiny_torchvision
from .states import assert_as_before, states

MODEL = tiny()


@pytest.mark.parametrize(
    ("layer", "wanted"),
    [
        *((layer, "an index from -3 to 2") for layer in (3, -4)),
        *((layer, "the index of a block or feature map") for layer in (1.0, True, "head", [1])),
    ],
)
def test_what_is_no_layer_is_refused(layer: object, wanted: str) -> None:
    with pytest.raises(MergeMixError, match=rf"^layer: got .*, wanted {wanted}, 'pool' or None"):
        saliency_map(MODEL, images(MODEL), layer)


def test_the_pool_of_a_model_without_one_is_refused() -> None:
    with pytest.raises(MergeMixError, match=r"^layer: got 'pool', wanted .* no attention pool"):
        saliency_map(MODEL, images(MODEL), "pool")


@pytest.mark.parametrize("encoder", [None, "vit", torch.zeros(1), nn.Linear(2, 2), nn.Conv2d(3, 3, 3)])
def test_what_is_no_encoder_is_refused(encoder: object) -> None:
    with pytest.raises(MergeMixError, match=r"^encoder: "):
        saliency_map(encoder, images(MODEL))


@pytest.mark.parametrize(
    "x",
    [
        None,
        torch.rand(3, 64, 64),
        torch.rand(0, 3, 64, 64),
        torch.rand(2, 4, 64, 64),
        torch.ones(2, 3, 64, 64, dtype=torch.int64),
        torch.full((2, 3, 64, 64), float("nan")),
    ],
)
def test_images_of_a_wrong_form_are_refused(x: object) -> None:
    before = states(MODEL)
    with pytest.raises(MergeMixError, match=r"^images: got"):
        saliency_map(MODEL, x)
    assert_as_before(MODEL, before)


def test_a_pass_checks_its_images_too() -> None:
    with pytest.raises(MergeMixError, match=r"^images: got an int64 tensor"):
        SaliencyPass(MODEL, SaliencyConfig(saliency_r=None))(torch.ones(2, 3, 64, 64, dtype=torch.int64))


def test_an_encoder_that_skips_its_blocks_is_refused() -> None:
    model = tiny()
    model.forward = lambda x: x
    with pytest.raises(MergeMixError, match=r"^layer: block 1 did not run"):
        saliency_map(model, images(model), r=0)


def test_images_on_another_device_are_refused() -> None:
    with pytest.raises(MergeMixError, match=r"^images: got images on meta, wanted images on cpu, like the encoder"):
        saliency_map(MODEL, torch.empty(2, 3, 64, 64, device="meta"))


def test_merging_must_leave_more_than_one_patch() -> None:
    model, merged = tiny(depth=5), tiny(depth=5)
    r = [8, 4, 2, 1, 0]
    wanted = "more than one of 16 patches before block 4"
    with pytest.raises(MergeMixError, match=wanted):
        mm.MergeMix(model, 10, saliency_r=r, layer=4)
    mm.MergeMix(model, 10, saliency_r=r, layer=3)
    saliency = SaliencyPass(merged, SaliencyConfig(saliency_r=None, layer=4))
    mm.patch(merged, r=r)
    with saliency.reading(images(merged)) as read:
        merged(images(merged))
    with pytest.raises(MergeMixError, match=rf"r: got \[8, 4, 2, 1, 0\], wanted an r that leaves {wanted}"):
        read()


@pytest.mark.parametrize("r", [-1, "keep", ("keep", 0.0), [1, 2], [0, 99, 0], ("total", 1000)])
def test_an_r_that_cannot_be_met_is_refused(r: object) -> None:
    before = states(MODEL)
    with pytest.raises(MergeMixError, match=r"^r"):
        saliency_map(MODEL, images(MODEL), r=r)
    assert_as_before(MODEL, before)


@pytest.mark.parametrize("name", ["image", "encoder"])
@pytest.mark.parametrize(
    ("mean", "std"),
    [
        ((0.5, 0.5, 0.5), None),
        (None, (0.5, 0.5, 0.5)),
        ((0.5, 0.5), (0.5, 0.5)),
        ((0.5, 0.5, 0.5), (0.5, 0.0, 0.5)),
        ((0.5, 0.5, 0.5), (0.5, -1.0, 0.5)),
        ((float("nan"), 0.5, 0.5), (0.5, 0.5, 0.5)),
        ("imagenet", "imagenet"),
        (("a", "b", "c"), (0.5, 0.5, 0.5)),
    ],
)
def test_statistics_of_a_wrong_form_are_refused(name: str, mean: object, std: object) -> None:
    with pytest.raises(MergeMixError, match=rf"^{name}_mean, {name}_std: got"):
        SaliencyPass(MODEL, SaliencyConfig(saliency_r=None, **{f"{name}_mean": mean, f"{name}_std": std}))


def test_statistics_of_the_images_need_those_of_the_encoder() -> None:
    with pytest.raises(MergeMixError, match=r"^encoder_mean, encoder_std: got None"):
        SaliencyPass(tiny_torchvision(), SaliencyConfig(saliency_r=None, image_mean=(0.5,), image_std=(0.5,)))
