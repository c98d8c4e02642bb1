"""Masks: which pixels come from the original image (True) and which from its partner."""

from __future__ import annotations

import torch
from torch import Tensor

from ..checks import check_finite, check_range, check_share, reads_values
from ..errors import Words, check_int, check_tensor, wrong

__all__ = ["box_mask", "check_boxes", "count_patches", "expand_mask", "top_mask"]


def count_patches(lam: Tensor, length: int) -> Tensor:
    """The number of patches kept for a mixing parameter: floor(lam * length + 0.5).

    Args:
        lam: (B,) in [0, 1]; use float64, so that halves round as they should.
        length: Number of patches in an image.

    Returns:
        (B,) int64.

    Raises:
        MergeMixError: If the shapes do not fit, or, checked on the CPU, lam is out of [0, 1].
    """
    check_tensor("lam", lam, "B", "float")
    check_share("lam", lam)
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
        MergeMixError: If the shapes do not fit, or, checked on the CPU, there are not so many patches, or a number
            is not finite.
    """
    check_tensor("saliency", saliency, "Bhw", "float")
    batch, rows, columns = saliency.shape
    check_tensor("count", count, (batch,), "integer", like=saliency)
    check_tensor("noise", noise, (batch, rows * columns), "float", like=saliency)
    check_range("count", count, 0, rows * columns)
    check_finite("saliency", saliency)
    check_finite("noise", noise)
    shuffle = noise.argsort(dim=1)
    by_saliency = saliency.flatten(1).gather(1, shuffle).argsort(dim=1, descending=True, stable=True)
    order = shuffle.gather(1, by_saliency)
    chosen = torch.arange(order.shape[1], device=order.device) < count.long().unsqueeze(1)
    return torch.zeros_like(chosen).scatter(1, order, chosen).view(saliency.shape)


def expand_mask(mask: Tensor, height: int, width: int) -> Tensor:
    """A patch mask (B, h, w) as a pixel mask (B, 1, height, width); each pixel takes the patch in which it lies."""
    check_tensor("mask", mask, "Bhw")
    if 0 in mask.shape[1:]:
        raise wrong("mask", mask, "at least one patch")
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

    Raises:
        MergeMixError: If the shapes do not fit, or, checked on the CPU, a box is not inside the image.
    """
    check_boxes(boxes, height, width)
    top, bottom, left, right = boxes.long().unsqueeze(-1).unbind(1)
    y = torch.arange(height, device=boxes.device)
    x = torch.arange(width, device=boxes.device)
    rows, columns = (y >= top) & (y < bottom), (x >= left) & (x < right)
    return ~(rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1)


def check_boxes(boxes: Tensor, height: int, width: int) -> None:
    """Raises unless ``boxes`` are (B, 4) integers, each inside an image of that size, top before bottom."""
    check_tensor("boxes", boxes, ("B", 4), "integer")
    check_int("height", height, 1)
    check_int("width", width, 1)
    if not boxes.numel() or not reads_values(boxes):
        return
    top, bottom, left, right = boxes.long().unbind(1)
    fits = (top >= 0) & (top <= bottom) & (bottom <= height) & (left >= 0) & (left <= right) & (right <= width)
    if not fits.all():
        got = Words(f"the box {boxes[~fits][0].tolist()}")
        raise wrong("boxes", got, f"top, bottom, left, right inside {height} x {width} pixels")
