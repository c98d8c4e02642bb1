"""How well predicted probabilities agree with how often the predictions are right."""

from __future__ import annotations

import torch
from torch import Tensor

from ..checks import check_classes, reads_values
from ..errors import Words, check_choice, check_int, check_tensor, wrong

__all__ = ["binned_error", "brier_score", "calibration_error", "check_binning", "squared_distances", "top_class"]


def calibration_error(
    probs: Tensor, labels: Tensor, bins: int = 15, binning: str = "width", norm: str = "l1"
) -> Tensor:
    """Expected calibration error of the most probable class.

    Samples are put into bins by their confidence, the probability of their most probable class. The error is the norm
    over bins, weighted by their samples, of the difference between mean confidence and accuracy (Naeini et al.,
    "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015; Guo et al., "On Calibration of Modern
    Neural Networks", ICML 2017, arXiv 1706.04599). Bins of equal mass are those of Nixon et al., "Measuring Calibration
    in Deep Learning", CVPR Workshops 2019 (arXiv 1904.01685).

    The order of samples does not matter, since equal confidences always share a bin.

    Args:
        probs: (B, num_classes) float, rows of probabilities.
        labels: (B,) integers.
        bins: Number of bins.
        binning: ``"width"`` for bins ``[k / bins, (k + 1) / bins)``, where the last one includes 1. ``"mass"`` for bins
            of equally many samples, except for ties: all samples of equal confidence go to the bin of the middle one.
        norm: ``"l1"`` for the mean difference, ``"l2"`` for the root of the mean square, ``"max"`` for the largest one.

    Returns:
        A scalar, float64 if ``probs`` is float64, else float32. NaN if there are no samples or a probability is NaN.

    Raises:
        MergeMixError: If shapes or dtypes do not fit or a setting is unknown. On the CPU also if rows are not
            probabilities or labels are out of range.
    """
    check_binning(bins, binning, norm)
    return binned_error(*top_class(probs, labels), bins, binning, norm)


def brier_score(probs: Tensor, labels: Tensor) -> Tensor:
    """Mean squared distance of the probabilities to the one-hot label, over all classes: from 0 to 2.

    This is the original, multi-class score of Brier, "Verification of Forecasts Expressed in Terms of Probability",
    1950. For two classes it is twice the binary score, which looks at one class only.

    Args:
        probs: (B, num_classes) float, rows of probabilities.
        labels: (B,) integers.

    Returns:
        A scalar, float64 if ``probs`` is float64, else float32. NaN if there are no samples or a probability is NaN.

    Raises:
        MergeMixError: If shapes or dtypes do not fit. On the CPU also if rows are not probabilities or labels are out
            of range.
    """
    return squared_distances(probs, labels).mean()


def squared_distances(probs: Tensor, labels: Tensor) -> Tensor:
    """The squared distances (B,) whose mean is the `brier_score`."""
    probs = _checked(probs, labels)
    # F.one_hot reads the values of the labels, so it would fail under per-sample gradients.
    right = torch.zeros_like(probs).scatter(1, labels.long().unsqueeze(1), 1.0)
    return (probs - right).square().sum(dim=1)


def top_class(probs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The confidence (B,) of the most probable class, and (B,) 1 where that class is right, else 0; same dtype."""
    confidence, predicted = _checked(probs, labels).max(dim=1)
    return confidence, predicted.eq(labels.long()).to(confidence.dtype)


def binned_error(confidence: Tensor, correct: Tensor, bins: int, binning: str, norm: str) -> Tensor:
    """The `calibration_error` of what `top_class` returns."""
    count = len(confidence)
    if not count:
        return confidence.new_tensor(float("nan"))
    index = _equal_width(confidence, bins) if binning == "width" else _equal_mass(confidence, bins)
    # Added up in order of size, so that not even rounding depends on the order of samples.
    difference, order = (confidence - correct).sort()
    sums = difference.new_zeros(bins + 1).index_add_(0, index[order], difference).abs()
    if norm == "l1":
        return sums.sum() / count
    counts = index.bincount(minlength=bins + 1)
    means = sums / counts.clamp_min(1)
    return means.max() if norm == "max" else (means.square() * counts).sum().div(count).sqrt()


def check_binning(bins: int, binning: str, norm: str) -> None:
    """Raises unless these are valid settings of `calibration_error`."""
    check_int("bins", bins, 1)
    check_choice("binning", binning, ("width", "mass"))
    check_choice("norm", norm, ("l1", "l2", "max"))


def _equal_width(confidence: Tensor, bins: int) -> Tensor:
    edges = torch.linspace(0, 1, bins + 1, dtype=confidence.dtype, device=confidence.device)
    return (torch.bucketize(confidence, edges, right=True) - 1).clamp_max(bins - 1)


def _equal_mass(confidence: Tensor, bins: int) -> Tensor:
    """The bin of the mean rank, in integer arithmetic. NaN goes to the spare bin, number ``bins``."""
    ordered = confidence.sort().values
    below, up_to = (torch.searchsorted(ordered, confidence, right=right) for right in (False, True))
    return (below + up_to) * bins // (2 * len(confidence))


def _checked(probs: Tensor, labels: Tensor) -> Tensor:
    """Checks the arguments and returns the probabilities in at least float32; NaN passes."""
    check_tensor("probs", probs, ("B", "num_classes"), "float")
    if not probs.shape[1]:
        raise wrong("probs", probs, "probabilities of at least one class")
    check_tensor("labels", labels, (len(probs),), "integer", like=probs)
    # Probabilities rounded to bfloat16 sum to 1 only within its precision.
    slack = max(1e-3, torch.finfo(probs.dtype).eps)
    probs = probs.to(torch.promote_types(probs.dtype, torch.float32))
    if len(probs) and reads_values(probs):
        check_classes("labels", labels, probs.shape[1])
        sums = probs.detach().sum(dim=1)
        low, least, most = (value.item() for value in (probs.min(), sums.min(), sums.max()))
        if low < 0 or least < 1 - slack or most > 1 + slack:
            got = f"numbers from {low:.4g} to {probs.max().item():.4g} in rows that sum to {least:.4g} to {most:.4g}"
            raise wrong("probs", Words(got), "numbers from 0 to 1 in rows that sum to 1")
    return probs
