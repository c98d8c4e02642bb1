"""A saliency pass takes images of other sizes, dtypes, channels and statistics than its encoder's."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from timm_mergemix import MergeMixError, saliency_map
from timm_mergemix.saliency.config import SaliencyConfig
from timm_mergemix.saliency.passes import SaliencyPass

from ..mix.batches import noise
from ..models import images, tiny

MODEL = tiny()


def test_images_that_the_grid_does_not_divide_are_resized_to_whole_patches() -> None:
    model = tiny(dynamic_img_size=True)
    x = noise(2, 3, 40, 90)
    whole = F.interpolate(x, (48, 96), mode="bilinear", antialias=True)
    assert torch.equal(saliency_map(model, x), saliency_map(model, whole))
    assert saliency_map(model, x).shape == (2, 3, 6)


def column(*values: float) -> Tensor:
    return torch.tensor(values).view(-1, 1, 1)


def test_images_are_converted_from_their_size_and_statistics_to_the_encoders() -> None:
    model = tiny()
    own = {"image_mean": (0.1, 0.2, 0.3), "image_std": (0.5, 0.6, 0.7)}
    theirs = {"encoder_mean": (0.4, 0.5, 0.6), "encoder_std": (0.2, 0.3, 0.4)}
    pixels = torch.rand(2, 3, 48, 80, generator=torch.Generator().manual_seed(0))
    x = (pixels - column(0.1, 0.2, 0.3)) / column(0.5, 0.6, 0.7)
    right = (pixels - column(0.4, 0.5, 0.6)) / column(0.2, 0.3, 0.4)
    wanted = saliency_map(model, F.interpolate(right, (64, 64), mode="bilinear", antialias=True))
    torch.testing.assert_close(SaliencyPass(model, SaliencyConfig(saliency_r=None, **own, **theirs))(x), wanted)
    assert (saliency_map(model, x) - wanted).abs().max() > 1e-3


def test_statistics_of_the_data_config_are_taken() -> None:
    model = tiny()
    config = model.pretrained_cfg
    explicit = {"encoder_mean": config["mean"], "encoder_std": config["std"]}
    own = {"image_mean": torch.tensor([0.1, 0.2, 0.3]), "image_std": [0.5]}
    x = images(model)
    assert torch.equal(
        SaliencyPass(model, SaliencyConfig(saliency_r=None, **own))(x),
        SaliencyPass(model, SaliencyConfig(saliency_r=None, **own, **explicit))(x),
    )


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_uint8_images_give_the_map_of_the_normalised_images(layout: torch.memory_format) -> None:
    model = tiny()
    x = noise(2, 3, 64, 64, dtype=torch.uint8).to(memory_format=layout)
    config = model.pretrained_cfg
    right = (x.float() / 255 - column(*config["mean"])) / column(*config["std"])
    torch.testing.assert_close(saliency_map(model, x), saliency_map(model, right))
    given = SaliencyPass(model, SaliencyConfig(saliency_r=None, encoder_mean=(0.0,), encoder_std=(1.0,)))
    torch.testing.assert_close(given(x), saliency_map(model, x.float() / 255))


def test_grayscale_images_are_taken_by_an_encoder_of_one_channel() -> None:
    model = tiny(in_chans=1)
    x = noise(2, 1, 64, 64)
    assert saliency_map(model, x).shape == (2, 4, 4)
    with pytest.raises(MergeMixError, match=r"^images: got .*, wanted images of shape \(B, 1, H, W\)"):
        saliency_map(model, noise(2, 3, 64, 64))
    gray = noise(2, 1, 64, 64, dtype=torch.uint8)
    # Its data config still has three means.
    with pytest.raises(MergeMixError, match=r"^encoder_mean, encoder_std: got None, wanted 1 numbers"):
        saliency_map(model, gray)
    own = SaliencyPass(model, SaliencyConfig(saliency_r=None, encoder_mean=(0.5,), encoder_std=(0.25,)))
    torch.testing.assert_close(own(gray), saliency_map(model, (gray.float() / 255 - 0.5) / 0.25))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_images_may_have_another_dtype_than_the_encoder(dtype: torch.dtype) -> None:
    x = images(MODEL).to(dtype)
    assert torch.equal(saliency_map(MODEL, x), saliency_map(MODEL, x.float()))


def test_an_encoder_in_half_precision_gives_float32_maps() -> None:
    model = copy.deepcopy(MODEL).bfloat16()
    x = images(MODEL)
    saliency = saliency_map(model, x, 1, 3)
    assert saliency.dtype == torch.float32
    torch.testing.assert_close(saliency.sum((1, 2)), torch.ones(2))
