"""Calibration and preference metrics: functions that need only torch, and Metric classes that need torchmetrics.

The classes are imported on first use, which raises a `MergeMixError` if torchmetrics is not installed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .calibration import brier_score, calibration_error
from .correlation import rank_correlation
from .preference import preference_accuracy, reward_margin
from .temperature import fit_temperature

if TYPE_CHECKING:
    from .classes import BrierScore, CalibrationError, PreferenceAccuracy, RewardMargin

__all__ = [
    "BrierScore",
    "CalibrationError",
    "PreferenceAccuracy",
    "RewardMargin",
    "brier_score",
    "calibration_error",
    "fit_temperature",
    "preference_accuracy",
    "rank_correlation",
    "reward_margin",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(".classes", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
