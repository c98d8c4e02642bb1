"""Checks of the images, labels and maps of a batch."""

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

ROUNDING = 1e-3  # of half precision
MOST_COLOURS = 4


def is_image_dtype(dtype: torch.dtype) -> bool:
    """Whether pixels of a dtype can be blended: floats of at least 16 bits, or uint8, which is rounded."""
    return dtype == torch.uint8 or (dtype.is_floating_point and dtype.itemsize > 1)


def check_images(images: Tensor, validate: bool | None = None) -> None:
    """Raises unless ``images`` is a finite float or uint8 tensor (B, C, H, W) that is not empty."""
    if isinstance(images, Tensor) and images.ndim == 5:
        wanted = "a tensor of shape (B, C, H, W); images.flatten(1, 2) mixes all frames of a clip or slices alike"
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
    """Raises if the shape shows that the images are (B, H, W, C) instead of (B, C, H, W)."""
    if images.shape[3] <= MOST_COLOURS < min(images.shape[1:3]):
        raise wrong("images", images, "channels before height and width: images.permute(0, 3, 1, 2)")


def check_labels(
    labels: Tensor, batch: int, num_classes: int | None, multi_label: bool, validate: bool | None = None
) -> None:
    """Raises unless ``labels`` is a tensor of integers (B,) in [0, num_classes), or of rows (B, num_classes)."""
    columns = "num_classes" if num_classes is None else num_classes
    if not isinstance(labels, Tensor) or not is_dense(labels) or labels.ndim not in (1, 2):
        raise wrong("labels", labels, f"a tensor of shape ({batch},) or ({batch}, {columns})")
    if len(labels) != batch:
        raise wrong("labels", labels, f"a label for each of the {batch} images")
    if labels.ndim == 2:
        if num_classes is not None and labels.shape[1] != num_classes:
            raise wrong("labels", labels, f"rows of {num_classes} classes")
        check_rows("labels", labels, multi_label, validate)
        return
    if multi_label:
        raise wrong("labels", labels, f"rows of shape ({batch}, {columns}), since multi_label is set")
    if labels.is_floating_point() or labels.dtype == torch.bool or labels.is_complex():
        raise wrong("labels", labels, "integer class labels")
    if num_classes is None:
        raise wrong("num_classes", None, "the number of classes, since labels are integers")
    check_classes("labels", labels, num_classes, validate)


def check_rows(argument: str, rows: Tensor, multi_label: bool, validate: bool | None = None) -> None:
    """Raises unless ``rows`` (B, C) are targets: numbers from 0 to 1, and not all 0 in a row of several classes.

    With ``multi_label`` the classes are independent, and a row may be all 0.

    Integers must be 0 or 1, so that class numbers of shape (B, C) are not mistaken for rows.
    """
    if rows.shape[1] == 0 or rows.is_complex() or (rows.is_floating_point() and rows.itemsize == 1):
        raise wrong(argument, rows, "rows of real numbers of at least 16 bits with at least one class")
    rows = rows if rows.is_floating_point() or rows.dtype == torch.bool else rows.long()
    if rows.dtype == torch.bool or not rows.numel() or not reads_values(rows, validate):
        return
    rows = rows.detach()
    low, high = (limit.item() for limit in rows.aminmax())
    if not (low >= -ROUNDING and high <= 1 + ROUNDING):
        whole = "" if rows.is_floating_point() else "; class numbers have the shape (B,)"
        raise wrong(argument, Words(f"rows of numbers from {low:g} to {high:g}"), f"numbers from 0 to 1{whole}")
    # One column stands for two classes: the class and its absence.
    if not multi_label and rows.shape[1] > 1 and not (rows.amax(dim=1) > 0).all():
        raise wrong(argument, Words("a row of zeros"), "a class in each row, or multi_label=True")


def check_classes(argument: str, labels: Tensor, num_classes: int, validate: bool | None = None) -> None:
    """Raises unless integer ``labels`` are in [0, num_classes)."""
    if labels.numel() and reads_values(labels, validate):
        labels = labels.long()  # torch has no min and max for the wider unsigned integers
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= num_classes:
            raise wrong(argument, Words(f"labels from {low} to {high}"), f"labels from 0 to {num_classes - 1}")


def check_saliency(saliency: Tensor, batch: int, validate: bool | None = None) -> None:
    """Raises unless ``saliency`` is a float tensor (B, h, w) of finite numbers that are not negative."""
    check_tensor("saliency", saliency, (batch, "h", "w"), "float")
    if saliency.numel() == 0:
        raise wrong("saliency", saliency, "maps of at least one patch")
    check_weights("saliency", saliency, validate)


def check_weights(argument: str, weights: Tensor, validate: bool | None = None) -> None:
    """Raises unless all numbers and their sum are finite, and no number is negative."""
    if not weights.numel() or not reads_values(weights, validate):
        return
    weights = weights.detach()
    if not (weights.min() >= 0 and weights.sum(dtype=torch.float32) < math.inf):
        raise wrong(argument, Words("numbers that are negative, NaN or infinite"), "finite numbers >= 0")


def check_finite(argument: str, values: Tensor, validate: bool | None = None) -> None:
    """Raises unless all numbers are finite."""
    if reads_values(values, validate) and not _is_finite(values):
        raise wrong(argument, Words("numbers that are NaN or infinite"), "finite numbers")


def check_share(argument: str, share: Tensor, validate: bool | None = None, slack: float = ROUNDING) -> None:
    """Raises unless all numbers are in [0, 1]. They may be outside by rounding, by at most ``slack``."""
    if share.numel() and reads_values(share, validate):
        low, high = (limit.item() for limit in share.detach().aminmax())
        if not (low >= -slack and high <= 1 + slack):
            raise wrong(argument, Words(f"numbers from {low:g} to {high:g}"), "numbers from 0 to 1")


def check_range(argument: str, values: Tensor, low: int, high: int, validate: bool | None = None) -> None:
    """Raises unless all integers are from ``low`` to ``high``."""
    if values.numel() and reads_values(values, validate):
        values = values.long()
        least, most = int(values.min()), int(values.max())
        if least < low or most > high:
            raise wrong(argument, Words(f"numbers from {least} to {most}"), f"numbers from {low} to {high}")


def read_statistics(
    argument: str, mean: Sequence[float] | None, std: Sequence[float] | None, channels: Sequence[int], wanted: str
) -> tuple[Tensor, Tensor] | None:
    """Returns the mean and standard deviation of images, each (C,) float32 on the CPU, or None if neither is given.

    Args:
        argument: The name of both together, for the error message.
        mean: One number per channel, or one for all channels.
        std: One positive number per channel, or one for all channels.
        channels: The numbers of channels that are allowed.
        wanted: Description of what is wanted, for the error message.

    Raises:
        MergeMixError: If the mean or the standard deviation is anything else.
    """
    if mean is None and std is None:
        return None
    try:
        # Copied to the CPU, because the caller may pass a buffer on an accelerator.
        pair = [torch.as_tensor(v, dtype=torch.float32, device="cpu").detach().flatten() for v in (mean, std)]
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise wrong(argument, (mean, std), wanted) from None
    fits = all(len(values) in (1, *channels) and values.isfinite().all() for values in pair)
    if not fits or not (pair[1] > 0).all():
        raise wrong(argument, (mean, std), wanted)
    return pair[0], pair[1]


def _is_finite(tensor: Tensor) -> bool:
    # The sum takes one pass and is not finite if any number is not. Only then is each number looked at.
    return bool(tensor.detach().sum(dtype=torch.float32).isfinite() or tensor.isfinite().all())


def reads_values(tensor: Tensor, validate: bool | None = None) -> bool:
    """Whether values may be read: always on the CPU, elsewhere only with ``validate``, and only if there are any.

    There are no values while a compiler or an exporter traces, in fake tensors, and under ``vmap``, where one tensor
    stands for many.
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
