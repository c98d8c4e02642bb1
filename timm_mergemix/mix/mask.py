"""Masks: which pixels come from the original image (True) and which from its partner."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import check_int, check_tensor

__all__ = ["box_mask", "count_patches", "expand_mask", "top_mask"]


def count_patches(lam: Tensor, length: int) -> Tensor:
    """The number of patches kept for a mixing parameter: floor(lam * length + 0.5).

    Args:
        lam: (B,) in [0, 1]; use float64, so that halves round as they should.
        length: Number of patches in an image.

    Returns:
        (B,) int64.
    """
    check_tensor("lam", lam, "B", "float")
    check_int("length", length, 1)
    return (lam * length + 0.5).floor().long()


def top_mask(saliency: Tensor, count: Tensor, noise: Tensor) -> Tensor:
    """Marks the ``count`` most salient patches, exactly, with ties in the order of ``noise``.

    Patches of a merged token have equal saliency, so without noise ties would lean towards a corner.

    Args:
        saliency: (B, h, w).
        count: (B,) integers from 0 to h * w.
        noise: (B, h * w).

    Returns:
        (B, h, w) bool.

    Raises:
        MergeMixError: If the shapes do not fit.
    """
    check_tensor("saliency", saliency, "Bhw", "float")
    batch, rows, columns = saliency.shape
    check_tensor("count", count, (batch,), "integer")
    check_tensor("noise", noise, (batch, rows * columns), "float")
    shuffle = noise.argsort(dim=1)
    by_saliency = saliency.flatten(1).gather(1, shuffle).argsort(dim=1, descending=True, stable=True)
    order = shuffle.gather(1, by_saliency)
    chosen = torch.arange(order.shape[1], device=order.device) < count.unsqueeze(1)
    return torch.zeros_like(chosen).scatter_(1, order, chosen).view(saliency.shape)


def expand_mask(mask: Tensor, height: int, width: int) -> Tensor:
    """A patch mask (B, h, w) as a pixel mask (B, 1, height, width); each pixel takes the patch in which it lies."""
    check_tensor("mask", mask, "Bhw")
    check_int("height", height, 1)
    check_int("width", width, 1)
    rows, columns = mask.shape[-2:]
    y = torch.arange(height, device=mask.device) * rows // height
    x = torch.arange(width, device=mask.device) * columns // width
    # Columns while there are few rows: whole rows are then copied at once, an order of magnitude faster.
    return mask.index_select(2, x).index_select(1, y).unsqueeze(1)


def box_mask(boxes: Tensor, height: int, width: int) -> Tensor:
    """A pixel mask that is False inside a box.

    Args:
        boxes: (B, 4) integers: top, bottom, left, right, in pixels; bottom and right are outside.
        height: Image height in pixels.
        width: Image width in pixels.

    Returns:
        (B, 1, height, width) bool.
    """
    check_tensor("boxes", boxes, ("B", 4), "integer")
    top, bottom, left, right = boxes.unsqueeze(-1).unbind(1)
    y = torch.arange(height, device=boxes.device)
    x = torch.arange(width, device=boxes.device)
    rows, columns = (y >= top) & (y < bottom), (x >= left) & (x < right)
    return ~(rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1)
