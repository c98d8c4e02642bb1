"""The image size at which a saliency pass runs, and the way back to the full grid."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ..errors import check_number, wrong
from ..merge.families import Family

__all__ = ["PassSize"]

LEAST = 0.1


class PassSize:
    """How large images are in a pass.

    Args:
        encoder: The model.
        family: Its family.
        scale: Share of the images' height and width.

    Raises:
        MergeMixError: If the scale is out of its range, or below 1 for an encoder of one image size.
    """

    def __init__(self, encoder: Any, family: Family, scale: float) -> None:
        check_number("scale", scale, LEAST, 1)
        self.encoder, self.family, self.scale = encoder, family, scale
        with self.allowed():
            size = family.only_size(encoder)
        if scale != 1 and size is not None:
            name = type(encoder).__name__
            raise wrong("scale", scale, f"1, since this {name} takes images of {size[0]} x {size[1]} pixels only")

    def allowed(self) -> AbstractContextManager[None]:
        """Inside, the encoder takes images of the size of the pass."""
        return nullcontext() if self.scale == 1 else self.family.at_any_size(self.encoder)

    def of(self, height: int, width: int) -> tuple[int, int]:
        """The size (pixels) in the pass of images of ``height`` x ``width``: a share of what the encoder else sees.

        Raises:
            MergeMixError: If that leaves a single patch.
        """
        full = self.family.input_size(self.encoder, height, width)
        if self.scale == 1:
            return full
        with self.allowed():
            size = self.family.input_size(self.encoder, *(math.ceil(round(side * self.scale, 6)) for side in full))
            if self.family.grid_size(self.encoder, *size) == (1, 1):
                raise wrong(
                    "scale", self.scale, f"more, since one patch is all that it leaves of {full[0]} x {full[1]} pixels"
                )
        return size

    def full_grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of patches of images of ``height`` x ``width`` at full size."""
        return self.family.grid_size(self.encoder, *self.family.input_size(self.encoder, height, width))

    def to_full_grid(self, saliency: Tensor, height: int, width: int) -> Tensor:
        """Maps (B, h, w) of the pass -> (B, H, W) on the grid of the images; each sums to 1 again."""
        if self.scale == 1:
            return saliency
        full = F.interpolate(saliency[:, None], size=self.full_grid(height, width), mode="bilinear")[:, 0]
        return full / full.sum(dim=(1, 2), keepdim=True)
