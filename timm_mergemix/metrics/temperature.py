"""Temperature scaling: one number that corrects a model's confidence."""

from __future__ import annotations

import math

from torch import Tensor

from ..checks import check_classes
from ..errors import Words, check_tensor, wrong

__all__ = ["fit_temperature"]


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature T for which ``logits / T`` has the least cross entropy.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017 (arXiv 1706.04599). Fit it on validation data.
    Above 1 the model was overconfident, below 1 underconfident, as models trained on soft targets are.

    Args:
        logits: (B, num_classes) float.
        labels: (B,) integers.

    Returns:
        T > 0, between 0.01 and 100; NaN if a logit is not finite.

    Raises:
        MergeMixError: If shapes or dtypes do not fit, labels are out of range, or there are no samples.
    """
    check_tensor("logits", logits, ("B", "C"), "float")
    check_tensor("labels", labels, (len(logits),), "integer")
    if not len(logits):
        raise wrong("logits", Words("no samples"), "at least one sample")
    for name, values in (("logits", logits), ("labels", labels)):
        if values.is_meta:
            raise wrong(name, Words("a tensor on meta"), "a tensor with values")
    logits, labels = logits.detach().cpu().double(), labels.cpu()
    check_classes("labels", labels, logits.shape[1])
    if not logits.isfinite().all():
        return math.nan
    # Cross entropy is convex in 1 / T, so its slope is bisected.
    low, high = 0.01, 100.0
    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if _slope(logits, labels, middle) < 0 else (middle, high)
    return 1 / low


def _slope(logits: Tensor, labels: Tensor, inverse: float) -> float:
    """The negative slope of the cross entropy in 1 / T; it is positive if sharper probabilities lower the loss."""
    expected = ((logits * inverse).softmax(dim=1) * logits).sum(dim=1)
    true = logits.gather(1, labels.long()[:, None])[:, 0]
    return float((true - expected).mean())
