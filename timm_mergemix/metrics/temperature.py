"""One number that mends a model's confidence."""

from __future__ import annotations

from torch import Tensor

from ..errors import MergeMixError, check_tensor

__all__ = ["fit_temperature"]


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature T for which ``logits / T`` has the least cross entropy.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017 (arXiv 1706.04599). Fit it on validation data:
    above 1 the model was too sure, below 1 not sure enough, as models are that were trained on soft targets.

    Args:
        logits: (B, num_classes) float.
        labels: (B,) integers.

    Returns:
        T > 0, between 0.01 and 100.

    Raises:
        MergeMixError: If shapes or dtypes do not fit, or there is no sample.
    """
    check_tensor("logits", logits, ("B", "C"), "float")
    check_tensor("labels", labels, (len(logits),), "integer")
    if not len(logits):
        raise MergeMixError("logits: got no sample, wanted at least one")
    logits = logits.detach().double().cpu()
    labels = labels.cpu()
    # Cross entropy is convex in 1 / T: its slope is bisected.
    low, high = 0.01, 100.0
    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if _slope(logits, labels, middle) < 0 else (middle, high)
    return 1 / low


def _slope(logits: Tensor, labels: Tensor, inverse: float) -> float:
    """Derivative by 1 / T, negated where more sharpness helps: mean logit expected less the one that came true."""
    expected = ((logits * inverse).softmax(dim=1) * logits).sum(dim=1)
    true = logits.gather(1, labels.long()[:, None])[:, 0]
    return float((true - expected).mean())
