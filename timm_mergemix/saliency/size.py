"""The image size at which a saliency pass runs, and the way back to the full grid."""

from __future__ import annotations

import math

from torch import Tensor

from ..errors import wrong
from ..merge.families import Backbone
from .maps import to_grid

__all__ = ["PassSize"]


class PassSize:
    """How large images are in a pass.

    Args:
        backbone: The model.
        scale: Share of the images' height and width.

    Raises:
        MergeMixError: If the scale is below 1 for an encoder of one image size.
    """

    def __init__(self, backbone: Backbone, scale: float) -> None:
        self.backbone, self.scale = backbone, scale
        if scale == 1:
            return
        size = self.view().only_size
        if size is not None:
            name = type(backbone.model).__name__
            raise wrong(
                "saliency_scale", scale, f"1, since this {name} takes images of {size[0]} x {size[1]} pixels only"
            )

    def view(self) -> Backbone:
        """A view of the model that takes images of the size of the pass."""
        view = self.backbone.view()
        if self.scale != 1:
            view.allow_any_size()
        return view

    def of(self, height: int, width: int, view: Backbone | None = None) -> tuple[int, int]:
        """The size (pixels) in the pass of images of ``height`` x ``width``: a share of the full size.

        Args:
            height: In pixels.
            width: In pixels.
            view: What `view` has returned, where the caller has one.

        Raises:
            MergeMixError: If that leaves a single patch.
        """
        full = self.backbone.input_size(height, width)
        if self.scale == 1:
            return full
        view = self.view() if view is None else view
        size = view.input_size(*(math.ceil(round(side * self.scale, 6)) for side in full))
        if view.grid_size(*size) == (1, 1):
            raise wrong(
                "saliency_scale",
                self.scale,
                f"a larger share, since this one leaves a single patch of {full[0]} x {full[1]} pixels",
            )
        return size

    def full_grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of patches of images of ``height`` x ``width`` at full size."""
        return self.backbone.grid_size(*self.backbone.input_size(height, width))

    def to_full_grid(self, saliency: Tensor, height: int, width: int) -> Tensor:
        """Maps (B, h, w) of the pass -> (B, H, W) on the grid of the images; each sums to 1 again."""
        if self.scale == 1:
            return saliency
        return to_grid(saliency, self.full_grid(height, width))
