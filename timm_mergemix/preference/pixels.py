"""Converts images of a batch to 8-bit images for image files, and image files back to pixels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..checks import read_statistics
from ..errors import Words, wrong

__all__ = ["read_pixels", "statistics_of", "to_pil", "to_pixels"]

Statistics = tuple[Tensor, Tensor]
# In grey levels: bicubic interpolation overshoots the range of its pixels at sharp edges.
OVERSHOOT = 32


def statistics_of(mean: Sequence[float] | None, std: Sequence[float] | None) -> Statistics | None:
    """Mean and standard deviation as (C, 1, 1) or (1, 1, 1) float32; None if both are None."""
    wanted = "finite numbers for both, one or one per channel, with std > 0; or None for both"
    pair = read_statistics("mean, std", mean, std, (3,), wanted)
    return None if pair is None else (pair[0].view(-1, 1, 1), pair[1].view(-1, 1, 1))


def to_pil(name: str, image: Tensor, statistics: Statistics | None) -> Image.Image:
    """Converts an image (C, H, W) of 1 or 3 channels to an 8-bit PIL image."""
    if len(image) not in (1, 3) or (image.dtype != torch.uint8 and not image.is_floating_point()):
        raise wrong(name, image, "images of 1 or 3 channels, float or uint8")
    image = image.detach().cpu()
    if image.dtype != torch.uint8:
        image = _to_uint8(name, image.float(), statistics)
    pixels = image[0] if len(image) == 1 else image.permute(1, 2, 0)
    return Image.fromarray(pixels.contiguous().numpy())


def read_pixels(path: Path) -> Tensor:
    """Reads an image file as (C, H, W) uint8 with 1 or 3 channels; raises whatever Pillow raises."""
    if not path.is_file():  # opening a pipe would block forever
        raise FileNotFoundError("there is no such file")
    with Image.open(path) as image:
        return to_pixels(image)


def to_pixels(image: Image.Image) -> Tensor:
    """The pixels of a PIL image, (C, H, W) uint8 with 1 or 3 channels."""
    pixels = torch.from_numpy(np.array(image if image.mode == "L" else image.convert("RGB")))
    return pixels.unsqueeze(0) if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()


def _to_uint8(name: str, image: Tensor, statistics: Statistics | None) -> Tensor:
    if statistics is not None:
        mean, std = statistics
        if len(image) < max(len(mean), len(std)):
            raise wrong("mean, std", Words("3 numbers"), f"one number, since the {name} images have one channel")
        image = image * std + mean
    grey = image * 255
    low, high = float(grey.min()), float(grey.max())
    if not (low >= -OVERSHOOT and high <= 255 + OVERSHOOT):
        applied = "the mean and std with which the images were normalised"
        wanted = f"{applied} (None if they were not)" if statistics is None else applied
        raise wrong(
            "mean, std",
            Words(
                f"{'None' if statistics is None else 'values'}, with which the {name} has pixels from "
                f"{low / 255:.3g} to {high / 255:.3g}"
            ),
            f"{wanted}, so that pixels are in [0, 1]",
        )
    return grey.round().clamp(0, 255).to(torch.uint8)
