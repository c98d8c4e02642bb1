"""Checks of the images, labels and saliency maps of a batch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch._C import _functorch as functorch
from torch._subclasses.fake_tensor import FakeTensor

from .errors import Words, check_tensor, is_dense, wrong

__all__ = [
    "check_classes",
    "check_finite",
    "check_images",
    "check_labels",
    "check_layout",
    "check_range",
    "check_rows",
    "check_saliency",
    "check_share",
    "check_weights",
    "is_image_dtype",
    "read_statistics",
    "reads_values",
]

ROUNDING = 1e-3  # the rounding error of half precision
MOST_COLOURS = 4


def is_image_dtype(dtype: torch.dtype) -> bool:
    """Whether pixels of a dtype can be blended: floats, or 8-bit integers, whose blends are rounded."""
    return dtype == torch.uint8 or (dtype.is_floating_point and dtype.itemsize > 1)


def check_images(images: Tensor, validate: bool | None = None) -> None:
    """Raises unless ``images`` is (B, C, H, W) with B > 0, float or uint8, and finite."""
    if isinstance(images, Tensor) and images.ndim == 5:
        wanted = "a tensor of shape (B, C, H, W); images.flatten(1, 2) mixes all frames or slices by the same mask"
        raise wrong("images", images, wanted)
    if not isinstance(images, Tensor) or not is_dense(images) or images.ndim != 4 or images.numel() == 0:
        raise wrong("images", images, "a tensor of shape (B, C, H, W) with at least one image")
    if not is_image_dtype(images.dtype):
        raise wrong("images", images, "float or uint8 images")
    check_layout(images)
    if images.dtype == torch.uint8:
        return
    if reads_values(images, validate) and not _is_finite(images):
        raise wrong("images", Words("pixels that are NaN or infinite"), "finite pixels")


def check_layout(images: Tensor) -> None:
    """Raises if images are certainly (B, H, W, C) rather than (B, C, H, W)."""
    if images.shape[3] <= MOST_COLOURS < min(images.shape[1:3]):
        raise wrong("images", images, "channels before height and width; use images.permute(0, 3, 1, 2)")


def check_labels(
    labels: Tensor, batch: int, num_classes: int | None, multi_label: bool, validate: bool | None = None
) -> None:
    """Raises unless ``labels`` is (B,) integers in [0, num_classes), or (B, num_classes) rows."""
    columns = "num_classes" if num_classes is None else num_classes
    if not isinstance(labels, Tensor) or not is_dense(labels) or labels.ndim not in (1, 2):
        raise wrong("labels", labels, f"a tensor of shape ({batch},) or ({batch}, {columns})")
    if len(labels) != batch:
        raise wrong("labels", labels, f"one label for each of the {batch} images")
    if labels.ndim == 2:
        if num_classes is not None and labels.shape[1] != num_classes:
            raise wrong("labels", labels, f"rows of {num_classes} classes")
        check_rows("labels", labels, multi_label, validate)
        return
    if multi_label:
        raise wrong("labels", labels, f"rows of shape ({batch}, {columns}), because multi_label is True")
    if labels.is_floating_point() or labels.dtype == torch.bool or labels.is_complex():
        raise wrong("labels", labels, "integer class labels")
    if num_classes is None:
        raise wrong("num_classes", None, "the number of classes, because labels are integers")
    check_classes("labels", labels, num_classes, validate)


def check_rows(argument: str, rows: Tensor, multi_label: bool, validate: bool | None = None) -> None:
    """Raises unless ``rows`` (B, C) are targets: numbers from 0 to 1, and not only zeros in a row.

    With ``multi_label`` classes are independent, and a row may be all zeros. Integers must be 0 or 1, so that padded
    class numbers, or class numbers in a column, are not mistaken for rows.
    """
    if rows.shape[1] == 0 or rows.is_complex() or (rows.is_floating_point() and rows.itemsize == 1):
        raise wrong(argument, rows, "rows of at least one class, real and of at least 16 bits if they are floats")
    rows = rows if rows.is_floating_point() or rows.dtype == torch.bool else rows.long()
    if rows.dtype == torch.bool or not rows.numel() or not reads_values(rows, validate):
        return
    rows = rows.detach()
    if found := _outside(rows, -ROUNDING, 1 + ROUNDING, validate):
        low, high = found
        whole = "" if rows.is_floating_point() else "; class numbers must have the shape (B,)"
        raise wrong(argument, Words(f"rows of numbers from {low:g} to {high:g}"), f"numbers from 0 to 1{whole}")
    # One column stands for two classes: the class itself and its absence.
    if not multi_label and rows.shape[1] > 1 and not (rows.amax(dim=1) > 0).all():
        raise wrong(argument, Words("a row of zeros"), "at least one class per row, or multi_label=True")


def check_classes(argument: str, labels: Tensor, num_classes: int, validate: bool | None = None) -> None:
    """Raises unless integer ``labels`` are in [0, num_classes)."""
    if found := _outside(labels, 0, num_classes - 1, validate):
        low, high = found
        raise wrong(argument, Words(f"labels from {low} to {high}"), f"labels from 0 to {num_classes - 1}")


def check_saliency(saliency: Tensor, batch: int, validate: bool | None = None) -> None:
    """Raises unless ``saliency`` is (B, h, w) float, finite and not negative."""
    check_tensor("saliency", saliency, (batch, "h", "w"), "float")
    if saliency.numel() == 0:
        raise wrong("saliency", saliency, "maps with at least one patch")
    check_weights("saliency", saliency, validate)


def check_weights(argument: str, weights: Tensor, validate: bool | None = None) -> None:
    """Raises unless all numbers are finite and not negative, and their sum is finite."""
    if not weights.numel() or not reads_values(weights, validate):
        return
    weights = weights.detach()
    if not ((weights.min() >= 0) & (weights.sum(dtype=torch.float32) < math.inf)):
        raise wrong(argument, Words("numbers that are negative, NaN or infinite"), "finite numbers >= 0")


def check_finite(argument: str, values: Tensor, validate: bool | None = None) -> None:
    """Raises unless all numbers are finite."""
    if reads_values(values, validate) and not _is_finite(values):
        raise wrong(argument, Words("numbers that are NaN or infinite"), "finite numbers")


def check_share(argument: str, share: Tensor, validate: bool | None = None, slack: float = ROUNDING) -> None:
    """Raises unless all numbers are in [0, 1], with a tolerance of ``slack`` for rounding."""
    if found := _outside(share.detach(), -slack, 1 + slack, validate):
        low, high = found
        raise wrong(argument, Words(f"numbers from {low:g} to {high:g}"), "numbers from 0 to 1")


def check_range(argument: str, values: Tensor, low: int, high: int, validate: bool | None = None) -> None:
    """Raises unless all integers are from ``low`` to ``high``."""
    if found := _outside(values, low, high, validate):
        least, most = found
        raise wrong(argument, Words(f"numbers from {least} to {most}"), f"numbers from {low} to {high}")


def read_statistics(
    argument: str, mean: Sequence[float] | None, std: Sequence[float] | None, channels: Sequence[int], wanted: str
) -> tuple[Tensor, Tensor] | None:
    """Mean and standard deviation of images, each (C,) float32 on the CPU; None if neither is given.

    Args:
        argument: The name of both, for the error.
        mean: One number per channel, or one for all channels.
        std: One positive number per channel, or one for all channels.
        channels: The numbers of channels that are allowed.
        wanted: What is wanted, for the error.

    Raises:
        MergeMixError: If they are anything else.
    """
    if mean is None and std is None:
        return None
    try:
        # Copied to the CPU, since they may be buffers on an accelerator.
        pair = [torch.as_tensor(v, dtype=torch.float32, device="cpu").detach().flatten() for v in (mean, std)]
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise wrong(argument, (mean, std), wanted) from None
    fits = all(len(values) in (1, *channels) and values.isfinite().all() for values in pair)
    if not fits or not (pair[1] > 0).all():
        raise wrong(argument, (mean, std), wanted)
    return pair[0], pair[1]


def _outside(values: Tensor, least: float, most: float, validate: bool | None = None) -> tuple[float, float] | None:
    """The lowest and the highest number where one is not within limits, for which an accelerator is waited for once.

    None where all are, or none may be read.
    """
    if not values.numel() or not reads_values(values, validate):
        return None
    low, high = (values if values.is_floating_point() else values.long()).aminmax()  # unsigned ones have no limits
    return None if (low >= least) & (high <= most) else (low.item(), high.item())


def _is_finite(tensor: Tensor) -> bool:
    # One pass: the sum is not finite if any number is not. Only then is each number looked at.
    return bool(tensor.detach().sum(dtype=torch.float32).isfinite() or tensor.isfinite().all())


def reads_values(tensor: Tensor, validate: bool | None = None) -> bool:
    """Whether the values of a tensor may be read: always on the CPU, elsewhere only with ``validate``.

    A tensor has no values to read while a compiler or an exporter traces, if it is fake, and under ``vmap``, where one
    tensor stands for many.
    """
    if torch.compiler.is_compiling() or isinstance(tensor, FakeTensor) or _is_batched(tensor):
        return False
    return tensor.device.type == "cpu" or (bool(validate) and tensor.device.type != "meta")


def _is_batched(tensor: Tensor) -> bool:
    while functorch.is_functorch_wrapped_tensor(tensor):
        if functorch.is_batchedtensor(tensor):
            return True
        tensor = functorch.get_unwrapped(tensor)
    return False
