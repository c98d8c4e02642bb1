"""Images before any processor, PIL images or uint8 tensors of any size, as tensors and back."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from ..errors import Words, wrong

__all__ = ["Raw"]


class Raw(NamedTuple):
    """An image as it came.

    Attributes:
        pixels: (3, H, W) uint8, or (C, H, W) of a tensor.
        is_pil: Whether it was a PIL image.
    """

    pixels: Tensor
    is_pil: bool

    @classmethod
    def of(cls, image: Any) -> Raw:
        """Reads an image; a PIL image in any mode becomes RGB, transparent parts show what colour is below.

        Raises:
            MergeMixError: If it is something else.
        """
        if isinstance(image, Image.Image):
            return cls(F.pil_to_tensor(image.convert("RGB")), True)
        if isinstance(image, Tensor) and image.ndim == 3 and image.dtype == torch.uint8:
            return cls(image, False)
        got = image if isinstance(image, Tensor) else Words(f"a {type(image).__name__}")
        raise wrong("images", got, "PIL images, uint8 tensors (C, H, W), or float tensors that share one size")

    def at(self, size: tuple[int, int]) -> Tensor:
        """The pixels at another height and width."""
        return F.resize(self.pixels, list(size), antialias=True)

    def resized(self, like: Tensor) -> Tensor:
        """The pixels at the height and width of others."""
        if self.pixels.shape[0] != like.shape[0]:
            raise wrong("images", self.pixels, f"images of {like.shape[0]} channels, as their partners have")
        return self.at((like.shape[-2], like.shape[-1]))

    def like(self, pixels: Tensor) -> Any:
        """Pixels in the form in which this image came."""
        return F.to_pil_image(pixels) if self.is_pil else pixels
