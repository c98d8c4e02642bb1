"""Images of a batch -> 8-bit images that can be written to disk, and what is read of those."""

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
# In levels of 255: bicubic interpolation goes beyond the limits of its pixels at sharp edges.
OVERSHOOT = 32


def statistics_of(mean: Sequence[float] | None, std: Sequence[float] | None) -> Statistics | None:
    """Both as (C, 1, 1) or (1, 1, 1) float32, or None."""
    wanted = "finite numbers, one or one per channel, for both, with std > 0, or neither"
    pair = read_statistics("mean, std", mean, std, (3,), wanted)
    return None if pair is None else (pair[0].view(-1, 1, 1), pair[1].view(-1, 1, 1))


def to_pil(name: str, image: Tensor, statistics: Statistics | None) -> Image.Image:
    """An image (C, H, W) of 1 or 3 channels in 8 bit."""
    if len(image) not in (1, 3) or (image.dtype != torch.uint8 and not image.is_floating_point()):
        raise wrong(name, image, "images of 1 or 3 channels, float or uint8")
    image = image.detach().cpu()
    if image.dtype != torch.uint8:
        image = _to_uint8(name, image.float(), statistics)
    pixels = image[0] if len(image) == 1 else image.permute(1, 2, 0)
    return Image.fromarray(pixels.contiguous().numpy())


def read_pixels(path: Path) -> Tensor:
    """The pixels of an image file, (C, H, W) uint8 of 1 or 3 channels; raises whatever Pillow raises."""
    if not path.is_file():  # opening a pipe would wait for good
        raise FileNotFoundError("there is no such file")
    with Image.open(path) as image:
        return to_pixels(image)


def to_pixels(image: Image.Image) -> Tensor:
    """The same of an image."""
    pixels = torch.from_numpy(np.array(image if image.mode == "L" else image.convert("RGB")))
    return pixels.unsqueeze(0) if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()


def _to_uint8(name: str, image: Tensor, statistics: Statistics | None) -> Tensor:
    if statistics is not None:
        mean, std = statistics
        if len(image) < max(len(mean), len(std)):
            raise wrong("mean, std", Words("3 numbers"), f"one, since images of the {name} have one channel")
        image = image * std + mean
    grey = image * 255
    low, high = float(grey.min()), float(grey.max())
    if not (low >= -OVERSHOOT and high <= 255 + OVERSHOOT):
        wanted = "those by which the images were normalised" + (" (None: not at all)" if statistics is None else "")
        raise wrong(
            "mean, std",
            Words(
                f"{'None' if statistics is None else 'such'} that leave pixels of the {name} from "
                f"{low / 255:.3g} to {high / 255:.3g}"
            ),
            f"{wanted}, so that pixels are in [0, 1]",
        )
    return grey.round().clamp(0, 255).to(torch.uint8)
