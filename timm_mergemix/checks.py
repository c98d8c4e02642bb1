"""Checks of images, labels and maps of a batch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .errors import Words, check_tensor, wrong

__all__ = ["check_classes", "check_images", "check_labels", "check_saliency", "check_share", "read_statistics"]

ROUNDING = 1e-3  # of half precision


def check_images(images: Tensor, validate: bool | None = None) -> None:
    """Raises unless ``images`` is (B, C, H, W) with B > 0, float or uint8, and finite."""
    if not isinstance(images, Tensor) or images.ndim != 4 or images.numel() == 0:
        raise wrong("images", images, "a tensor of shape (B, C, H, W) with at least one image")
    if images.dtype == torch.uint8:
        return
    if not images.is_floating_point():
        raise wrong("images", images, "float or uint8 images")
    if _reads_values(images, validate) and not _is_finite(images):
        raise wrong("images", Words("pixels that are NaN or infinite"), "finite ones")


def check_labels(
    labels: Tensor, batch: int, num_classes: int | None, multi_label: bool, validate: bool | None = None
) -> None:
    """Raises unless ``labels`` is (B,) integers in [0, num_classes), or (B, num_classes) rows."""
    columns = "num_classes" if num_classes is None else num_classes
    if not isinstance(labels, Tensor) or labels.ndim not in (1, 2):
        raise wrong("labels", labels, f"a tensor of shape ({batch},) or ({batch}, {columns})")
    if len(labels) != batch:
        raise wrong("labels", labels, f"a label for each of the {batch} images")
    if labels.ndim == 2:
        if num_classes is not None and labels.shape[1] != num_classes:
            raise wrong("labels", labels, f"rows of {num_classes} classes")
        if labels.shape[1] == 0 or labels.is_complex():
            raise wrong("labels", labels, "real rows with at least one class")
        if labels.is_floating_point() and _reads_values(labels, validate) and not _is_finite(labels):
            raise wrong("labels", Words("rows that are NaN or infinite"), "finite ones")
        return
    if multi_label:
        raise wrong("labels", labels, f"rows of shape ({batch}, {columns}), since multi_label is set")
    if labels.is_floating_point() or labels.dtype == torch.bool or labels.is_complex():
        raise wrong("labels", labels, "integer class labels")
    if num_classes is None:
        raise wrong("num_classes", None, "the number of classes, since labels are integers")
    check_classes("labels", labels, num_classes, validate)


def check_classes(argument: str, labels: Tensor, num_classes: int, validate: bool | None = None) -> None:
    """Raises unless integer ``labels`` are in [0, num_classes)."""
    if _reads_values(labels, validate):
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= num_classes:
            raise wrong(argument, Words(f"labels from {low} to {high}"), f"them from 0 to {num_classes - 1}")


def check_saliency(saliency: Tensor, batch: int, validate: bool | None = None) -> None:
    """Raises unless ``saliency`` is (B, h, w) float, finite and not negative."""
    check_tensor("saliency", saliency, (batch, "h", "w"), "float")
    if saliency.numel() == 0:
        raise wrong("saliency", saliency, "maps of at least one patch")
    if _reads_values(saliency, validate) and not (saliency.min() >= 0 and saliency.max() < math.inf):
        raise wrong("saliency", Words("numbers that are negative, NaN or infinite"), "finite ones >= 0")


def check_share(argument: str, share: Tensor, validate: bool | None = None) -> None:
    """Raises unless all numbers are in [0, 1], but for rounding."""
    if share.numel() and _reads_values(share, validate):
        low, high = float(share.min()), float(share.max())
        if not (low >= -ROUNDING and high <= 1 + ROUNDING):
            raise wrong(argument, Words(f"numbers from {low:g} to {high:g}"), "them from 0 to 1")


def read_statistics(
    argument: str, mean: Sequence[float] | None, std: Sequence[float] | None, channels: Sequence[int], wanted: str
) -> tuple[Tensor, Tensor] | None:
    """Mean and standard deviation of images, each (C,) float32 on the CPU; None where neither is given.

    Args:
        argument: What both are called, for the error.
        mean: A number for each channel, or one for all.
        std: Likewise, positive.
        channels: How many of them there may be, beside one for all.
        wanted: What is wanted, for the error.

    Raises:
        MergeMixError: If they are something else.
    """
    if mean is None and std is None:
        return None
    try:
        # Copied to the CPU: the caller's may be a buffer on an accelerator.
        pair = [torch.as_tensor(v, dtype=torch.float32, device="cpu").detach().flatten() for v in (mean, std)]
    except (TypeError, ValueError, RuntimeError):
        raise wrong(argument, (mean, std), wanted) from None
    fits = all(len(values) in (1, *channels) and values.isfinite().all() for values in pair)
    if not fits or not (pair[1] > 0).all():
        raise wrong(argument, (mean, std), wanted)
    return pair[0], pair[1]


def _is_finite(tensor: Tensor) -> bool:
    # A sum is one pass, and not finite if any number is not; only then each number is looked at.
    return bool(tensor.detach().sum(dtype=torch.float32).isfinite() or tensor.isfinite().all())


def _reads_values(tensor: Tensor, validate: bool | None) -> bool:
    return tensor.device.type == "cpu" or bool(validate)
