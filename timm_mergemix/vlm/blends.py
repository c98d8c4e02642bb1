"""The way of mixing that makes losers of a kind."""

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
    """The blend of a kind; the ratio is always the share of pixels.

    Args:
        config: Its settings.
        saliency: The pass that yields maps, or the grid; None for the kinds that need neither.
        scale: Of ResizeMix.
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
    """The largest lambda that leaves a patch, or a pixel, of the partner in images (B, C, H, W).

    Args:
        config: The settings.
        saliency: The pass that yields maps, or the grid.
        images: The clean images.
        grid: That of maps which somebody has already; None for the one that the encoder has for the images.
    """
    height, width = images.shape[-2:]
    if config.kind in ENCODED and saliency is not None:
        rows, columns = grid_of(saliency, images) if grid is None else grid
        # In an image smaller than the grid, some patches have no pixel.
        return (min(rows, height) * min(columns, width) - 1) / (rows * columns)
    # A little more than a pixel: the side of a box is the root of it, rounded down.
    return max(0.0, 1 - (1 + 1e-6) / min(height, width) ** 2)


def _flat(saliency: SaliencyPass, images: Tensor) -> Tensor:
    """Maps of which no patch is ahead of another, so that ties are broken by chance alone."""
    return torch.ones(len(images), *grid_of(saliency, images), device=images.device)
