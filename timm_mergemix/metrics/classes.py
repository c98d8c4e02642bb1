"""The metrics as torchmetrics classes, which accumulate over batches and processes."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from ..errors import check_number, need
from .calibration import binned_error, check_binning, squared_distances, top_class
from .preference import margins, points, total_and_count

__all__ = ["BrierScore", "CalibrationError", "PreferenceAccuracy", "RewardMargin"]

Metric: Any = need("torchmetrics", "a Metric class", extra="metrics").Metric


class CalibrationError(Metric):
    """The `calibration_error` of all samples seen.

    It keeps two numbers per sample, because bins of equal mass depend on all samples.

    Args:
        bins: Number of bins.
        binning: ``"width"`` or ``"mass"``.
        norm: ``"l1"``, ``"l2"`` or ``"max"``.
        options: Passed to ``torchmetrics.Metric``.

    Raises:
        MergeMixError: If a setting is unknown.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    confidence: list[Tensor]
    correct: list[Tensor]

    def __init__(self, bins: int = 15, binning: str = "width", norm: str = "l1", **options: Any) -> None:
        super().__init__(**options)
        check_binning(bins, binning, norm)
        self.bins = bins
        self.binning = binning
        self.norm = norm
        self.add_state("confidence", [], dist_reduce_fx="cat")
        self.add_state("correct", [], dist_reduce_fx="cat")

    def update(self, probs: Tensor, labels: Tensor) -> None:
        """Adds a batch: (B, num_classes) float probabilities and (B,) integer labels."""
        confidence, correct = top_class(probs, labels)
        self.confidence.append(confidence.detach())
        self.correct.append(correct)

    def compute(self) -> Tensor:
        """The error, a scalar; NaN if there were no samples."""
        if not len(self.confidence):
            return torch.full((), float("nan"), device=self.device)
        confidence, correct = (_joined(state) for state in (self.confidence, self.correct))
        return binned_error(confidence, correct, self.bins, self.binning, self.norm)


def _joined(state: Tensor | list[Tensor]) -> Tensor:
    """A state as one tensor; a state that was gathered from several processes already is one."""
    return state if isinstance(state, Tensor) else torch.cat(state)


class _Mean(Metric):
    """The mean of values, kept as their sum and number.

    Attributes:
        of: A name for the values, which also names the states: a MetricCollection treats metrics whose states have the
            same names and values as one metric.
    """

    is_differentiable = False
    full_state_update = False
    of: ClassVar[str]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_state(f"{self.of}_total", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state(f"{self.of}_count", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def _add(self, values: Tensor, valid: Tensor | None = None) -> None:
        for state, more in zip(("total", "count"), total_and_count(values, valid), strict=True):
            name = f"{self.of}_{state}"
            setattr(self, name, getattr(self, name) + more)

    def compute(self) -> Tensor:
        """The mean, a scalar; NaN if there was nothing to count."""
        return getattr(self, f"{self.of}_total") / getattr(self, f"{self.of}_count")


class BrierScore(_Mean):
    """The `brier_score` of all samples seen.

    Args:
        options: Passed to ``torchmetrics.Metric``.
    """

    higher_is_better = False
    of = "distance"

    def update(self, probs: Tensor, labels: Tensor) -> None:
        """Adds a batch: (B, num_classes) float probabilities and (B,) integer labels."""
        self._add(squared_distances(probs, labels))


class PreferenceAccuracy(_Mean):
    """The `preference_accuracy` of all pairs seen.

    Args:
        options: Passed to ``torchmetrics.Metric``.
    """

    higher_is_better = True
    of = "points"

    def update(self, winner_logp: Tensor, loser_logp: Tensor, valid: Tensor | None = None) -> None:
        """Adds a batch: (B,) float log-probabilities, and a (B,) bool mask of the pairs that count."""
        self._add(points(winner_logp, loser_logp), valid)


class RewardMargin(_Mean):
    """The `reward_margin` of all pairs seen.

    Args:
        beta: Scale of the reward, at least 0.
        options: Passed to ``torchmetrics.Metric``.

    Raises:
        MergeMixError: If ``beta`` is out of range.
    """

    higher_is_better = True
    of = "margin"

    def __init__(self, beta: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        check_number("beta", beta, 0)
        self.beta = beta

    def update(self, winner_logp: Tensor, loser_logp: Tensor, valid: Tensor | None = None) -> None:
        """Adds a batch: (B,) float log-probabilities, and a (B,) bool mask of the pairs that count."""
        self._add(margins(winner_logp, loser_logp), valid)

    def compute(self) -> Tensor:
        """The mean, a scalar; NaN if there was nothing to count."""
        return self.beta * super().compute()  # applied here, since metrics that differ only in beta share their sums
