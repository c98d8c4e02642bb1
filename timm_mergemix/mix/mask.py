"""Masks: which pixels come from the original image (True) and which from its partner."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["box_mask", "count_patches", "expand_mask", "top_mask"]


def count_patches(lam: Tensor, length: int) -> Tensor:
    """The number of patches kept for a mixing parameter: floor(lam * length + 0.5).

    Args:
        lam: (B,) in [0, 1]; use float64, so that halves round as they should.
        length: Number of patches in an image.

    Returns:
        (B,) int64.
    """
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
    """
    shuffle = noise.argsort(dim=1)
    by_saliency = saliency.flatten(1).gather(1, shuffle).argsort(dim=1, descending=True, stable=True)
    order = shuffle.gather(1, by_saliency)
    chosen = torch.arange(order.shape[1], device=order.device) < count.unsqueeze(1)
    return torch.zeros_like(chosen).scatter_(1, order, chosen).view(saliency.shape)


def expand_mask(mask: Tensor, height: int, width: int) -> Tensor:
    """A patch mask (B, h, w) as a pixel mask (B, 1, height, width); each pixel takes the patch in which it lies."""
    rows, columns = mask.shape[-2:]
    y = torch.arange(height, device=mask.device) * rows // height
    x = torch.arange(width, device=mask.device) * columns // width
    return mask[:, y][:, :, x].unsqueeze(1)


def box_mask(boxes: Tensor, height: int, width: int) -> Tensor:
    """A pixel mask that is False inside a box.

    Args:
        boxes: (B, 4) integers: top, bottom, left, right, in pixels; bottom and right are outside.
        height: Image height in pixels.
        width: Image width in pixels.

    Returns:
        (B, 1, height, width) bool.
    """
    top, bottom, left, right = boxes.unsqueeze(-1).unbind(1)
    y = torch.arange(height, device=boxes.device)
    x = torch.arange(width, device=boxes.device)
    rows, columns = (y >= top) & (y < bottom), (x >= left) & (x < right)
    return ~(rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1)
