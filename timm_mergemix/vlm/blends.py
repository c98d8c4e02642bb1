"""The blend that makes losers of each kind."""

from __future__ import annotations

import torch
from torch import Tensor

from ..mix.blends import BlendFunction, CutMixBlend, MixupBlend, ResizeMixBlend
from ..mix.config import MixConfig
from ..mix.mergemix import MergeMixBlend
from ..saliency.passes import SaliencyPass
from .config import ENCODED, ImageMixConfig

__all__ = ["blend_of", "grid_of", "largest_lambda"]


def blend_of(config: ImageMixConfig, saliency: SaliencyPass | None, scale: tuple[float, float]) -> BlendFunction:
    """The blend for a configured kind. The ratio is always the share of pixels.

    Args:
        config: The settings, including the kind.
        saliency: The pass that yields saliency maps or the grid of patches; None for kinds that need neither.
        scale: Range of the scale for ResizeMix.
    """
    if saliency is not None:
        maps = saliency if config.kind == "mergemix" else lambda images: _flat(saliency, images)
        return MergeMixBlend(maps, MixConfig(mergemix_alpha=config.alpha))
    if config.kind == "cutmix":
        return CutMixBlend(config.alpha)
    return MixupBlend(config.alpha) if config.kind == "mixup" else ResizeMixBlend(scale)


def grid_of(saliency: SaliencyPass, images: Tensor) -> tuple[int, int]:
    """The grid of patches that an encoder has for images (B, C, H, W)."""
    backbone = saliency.backbone
    return backbone.grid_size(*backbone.input_size(*images.shape[-2:]))


def largest_lambda(
    config: ImageMixConfig, saliency: SaliencyPass | None, images: Tensor, grid: tuple[int, int] | None = None
) -> float:
    """The largest lam that leaves a patch, or a pixel, of the partner in images (B, C, H, W).

    Args:
        config: The settings.
        saliency: The pass that yields saliency maps or the grid of patches.
        images: The clean images.
        grid: Grid of saliency maps that exist already; None uses the encoder's grid for the images.
    """
    height, width = images.shape[-2:]
    if config.kind in ENCODED and saliency is not None:
        rows, columns = grid_of(saliency, images) if grid is None else grid
        # In an image smaller than the grid, some patches have no pixels.
        return (min(rows, height) * min(columns, width) - 1) / (rows * columns)
    # Slightly more than one pixel: the side of a box is the square root of its area, rounded down.
    return max(0.0, 1 - (1 + 1e-6) / min(height, width) ** 2)


def _flat(saliency: SaliencyPass, images: Tensor) -> Tensor:
    """Constant maps, so that patches are chosen only by random tie-breaking."""
    return torch.ones(len(images), *grid_of(saliency, images), device=images.device)
