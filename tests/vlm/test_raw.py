"""Raw images are converted to tensors and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from timm_mergemix import MergeMixError
from timm_mergemix.vlm.raw import Raw

MODES = ("RGB", "RGBA", "L", "P", "1", "CMYK")


def picture(mode="RGB", width=7, height=5):
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


@pytest.mark.parametrize("mode", MODES)
def test_a_pil_image_of_any_mode_becomes_rgb_and_is_converted_back(mode):
    image = picture(mode)
    raw = Raw.of(image)
    assert raw.is_pil and raw.pixels.dtype == torch.uint8 and raw.pixels.shape == (3, 5, 7)
    back = raw.like(raw.pixels)
    assert (back.mode, back.size) == ("RGB", (7, 5))
    assert back.tobytes() == image.convert("RGB").tobytes()


def test_transparency_is_dropped():
    image = Image.new("RGBA", (2, 2), (10, 20, 30, 0))
    assert Raw.of(image).pixels[:, 0, 0].tolist() == [10, 20, 30]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_tensor_is_not_copied_or_converted(channels):
    image = torch.arange(channels * 6, dtype=torch.uint8).view(channels, 2, 3)
    raw = Raw.of(image)
    assert raw.pixels is image and not raw.is_pil
    assert raw.like(image) is image


def test_an_image_is_resized_to_the_size_of_another():
    image = torch.full((3, 4, 9), 7, dtype=torch.uint8)
    got = Raw.of(image).resized(torch.zeros(3, 6, 5, dtype=torch.uint8))
    assert got.shape == (3, 6, 5) and got.dtype == torch.uint8
    assert (got == 7).all()
    assert torch.equal(Raw.of(image).resized(image), image)
    assert Raw.of(image).at((2, 3)).shape == (3, 2, 3)


def test_an_image_with_another_number_of_channels_is_refused():
    with pytest.raises(MergeMixError, match=r"^images: got a uint8 tensor of shape \(1, 2, 2\), wanted images of 3"):
        Raw.of(torch.zeros(1, 2, 2, dtype=torch.uint8)).resized(torch.zeros(3, 2, 2, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("image", "got"),
    [
        (torch.zeros(3, 2, 2), "a float32 tensor of shape"),
        (torch.zeros(1, 3, 2, 2, dtype=torch.uint8), "a uint8 tensor of shape"),
        (np.zeros((2, 2, 3), dtype=np.uint8), "a ndarray"),
        ("picture.png", "a str"),
    ],
)
def test_other_types_are_refused_by_name(image, got):
    wanted = r"PIL images, uint8 tensors \(C, H, W\), or float tensors of the same size"
    with pytest.raises(MergeMixError, match=f"^images: got {got}.*wanted {wanted}"):
        Raw.of(image)
