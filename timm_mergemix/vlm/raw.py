"""Converts raw images, which are PIL images or uint8 tensors of any size, to tensors and back."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from ..errors import Words, with_article, wrong

__all__ = ["Raw"]


class Raw(NamedTuple):
    """A raw image as a tensor.

    Attributes:
        pixels: (C, H, W) uint8, with C = 3 if it was a PIL image.
        is_pil: Whether it was a PIL image.
    """

    pixels: Tensor
    is_pil: bool

    @classmethod
    def of(cls, image: Any) -> Raw:
        """Reads an image. A PIL image in any mode becomes RGB; transparency is dropped.

        Raises:
            MergeMixError: If it is neither a PIL image nor a uint8 tensor (C, H, W).
        """
        if isinstance(image, Image.Image):
            return cls(F.pil_to_tensor(image.convert("RGB")), True)
        if isinstance(image, Tensor) and image.ndim == 3 and image.dtype == torch.uint8:
            return cls(image, False)
        got = image if isinstance(image, Tensor) else Words(with_article(type(image).__name__))
        raise wrong("images", got, "PIL images, uint8 tensors (C, H, W), or float tensors of the same size")

    def at(self, size: tuple[int, int]) -> Tensor:
        """The pixels resized to a height and width."""
        return F.resize(self.pixels, list(size), antialias=True)

    def resized(self, like: Tensor) -> Tensor:
        """The pixels resized to the height and width of another image."""
        if self.pixels.shape[0] != like.shape[0]:
            raise wrong("images", self.pixels, f"images of {like.shape[0]} channels, as many as their partners have")
        return self.at((like.shape[-2], like.shape[-1]))

    def like(self, pixels: Tensor) -> Any:
        """Converts pixels to the type of the original image."""
        return F.to_pil_image(pixels) if self.is_pil else pixels
