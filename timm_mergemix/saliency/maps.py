"""Tensors of cells -> maps that sum to 1: how much of an image's saliency is in each cell."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import reads_values
from ..errors import unusable
from ..merge.matching.bipartite import plan_bipartite
from ..merge.matching.tokens import merge_tokens, places

__all__ = ["shares", "spatial_variance", "to_grid", "with_merged_cells"]


def shares(values: Tensor) -> Tensor:
    """Values (B, N) >= 0 as shares of their sum; equal shares where all of them are 0.

    Raises:
        MergeMixError: If they are NaN or infinite.
    """
    if reads_values(values) and not values.isfinite().all():
        raise unusable("encoder", "its saliency is NaN or infinite, wanted an encoder with finite weights")
    values = values.where(values.sum(dim=1, keepdim=True) > 0, 1.0)
    return values / values.sum(dim=1, keepdim=True)


def to_grid(saliency: Tensor, grid: tuple[int, int]) -> Tensor:
    """Maps (B, h, w) on another grid, by bilinear interpolation; each sums to 1 again."""
    full = F.interpolate(saliency[:, None], size=grid, mode="bilinear")[:, 0]
    return full / full.sum(dim=(1, 2), keepdim=True)


def spatial_variance(cells: Tensor) -> Tensor:
    """What each cell adds to the variance of features over an image: its squared distance from their mean.

    Args:
        cells: (B, N, C), the features of the cells.

    Returns:
        (B, N) float32.
    """
    cells = cells.float()
    return (cells - cells.mean(dim=1, keepdim=True)).square().sum(dim=2)


def with_merged_cells(values: Tensor, cells: Tensor, merges: Sequence[int], divide: bool = True) -> Tensor:
    """Values of cells once similar cells have merged by bipartite matching, as tokens do.

    Args:
        values: (B, N), what each cell has by itself.
        cells: (B, N, C), the features by whose cosines cells are matched.
        merges: Cells that merge into others in each step, at most half of those that are left.
        divide: Whether a merged cell's value, the sum over its members, is divided among them, or each gets all.

    Returns:
        (B, N).
    """
    place, size = torch.arange(values.shape[1], device=values.device).expand_as(values), None
    for r in filter(None, merges):
        plan = plan_bipartite(cells, r, 0, None)
        place = places(plan).gather(1, place)
        cells, size = merge_tokens(cells, plan, size)
    if size is None:
        return values
    total = torch.zeros_like(size, dtype=values.dtype).scatter_add_(1, place, values)
    return (total / size if divide else total).gather(1, place)
