"""Labels of two images and their ratio -> soft targets."""

from __future__ import annotations

import torch
from torch import Tensor

from ..checks import check_labels, check_range, check_share
from ..errors import check_bool, check_int, check_number, check_same_device, check_tensor

__all__ = ["dense_labels", "mix_targets", "smooth_targets"]


def dense_labels(labels: Tensor, num_classes: int | None) -> Tensor:
    """Labels (B,) as one-hot rows (B, num_classes), labels (B, num_classes) as they are; in float32 at least."""
    if labels.ndim == 1 and num_classes is not None:
        # Not by F.one_hot, which looks at the labels, and so fails where per-sample gradients are taken.
        rows = torch.zeros(labels.shape[0], num_classes, device=labels.device)
        return rows.scatter(1, labels.long().unsqueeze(1), 1.0)
    return labels if labels.is_floating_point() and labels.itemsize >= 4 else labels.float()


def smooth_targets(targets: Tensor, smoothing: float, multi_label: bool = False) -> Tensor:
    """Label smoothing: towards the uniform distribution, with multi_label each label towards 0.5, as timm's Mixup."""
    if not smoothing:
        return targets
    # One column stands for two classes, the one and its absence.
    share = 0.5 if multi_label or targets.shape[1] == 1 else 1 / targets.shape[1]
    return targets * (1 - smoothing) + smoothing * share


def mix_targets(
    labels: Tensor,
    index: Tensor,
    ratio: Tensor,
    num_classes: int | None = None,
    smoothing: float = 0.0,
    multi_label: bool = False,
) -> Tensor:
    """Soft targets of a mix: ``ratio * y_i + (1 - ratio) * y_index[i]``.

    Args:
        labels: (B,) integers, or (B, num_classes) probabilities or multi-label rows.
        index: (B,) int64, each image's partner.
        ratio: (B,) in [0, 1].
        num_classes: Number of classes; needed for integer labels.
        smoothing: Label smoothing in [0, 1].
        multi_label: Whether the classes are independent.

    Returns:
        (B, num_classes) float.

    Raises:
        MergeMixError: If the shapes or dtypes do not fit, or, checked on the CPU, a label, partner or ratio is out
            of range.
    """
    check_tensor("index", index, "B", "integer")
    check_tensor("ratio", ratio, index.shape, "float", like=index)
    check_share("ratio", ratio)
    check_range("index", index, 0, len(index) - 1)
    if num_classes is not None:
        check_int("num_classes", num_classes, 1)
    check_bool("multi_label", multi_label)
    check_labels(labels, len(index), num_classes, multi_label)
    check_same_device("labels", labels, index)
    check_number("smoothing", smoothing, 0, 1)
    dense = smooth_targets(dense_labels(labels, num_classes), smoothing, multi_label)
    weight = ratio.to(dense.dtype).unsqueeze(1)
    return weight * dense + (1 - weight) * dense[index.long()]
