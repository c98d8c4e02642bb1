"""The gain of each value of an option, estimated from trials that differ in many options at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..records import Record

__all__ = ["Effect", "option_effects"]

OWN = ("seed", "method")


class Effect(NamedTuple):
    """Gain of a value over the first value of its option, in the unit of the measure.

    Attributes:
        option: Name of the option, or ``"seed"`` or ``"method"``.
        value: The value.
        base: The value with which it is compared.
        gain: Estimated gain, all else equal.
        error: Standard error of the gain.
    """

    option: str
    value: Any
    base: Any
    gain: float
    error: float


def option_effects(records: Sequence[Record], split: str, measure: str) -> list[Effect]:
    """Estimates main effects by least squares.

    Args:
        records: Trials of one task. An option that a record lacks counts as a value of its own, None.
        split: ``"val"`` or ``"test"``.
        measure: Name of a measure.

    Returns:
        The effects. Empty if there are too few trials, or if the values of two options always occur together.
    """
    trials = [record["trial"] for record in records]
    settings = [{**dict(map(tuple, trial["options"])), **{name: trial[name] for name in OWN}} for trial in trials]
    names = dict.fromkeys(name for setting in settings for name in setting)
    values = {name: _distinct([setting.get(name) for setting in settings]) for name in names}
    columns = [(name, value) for name in names for value in values[name][1:]]
    design = np.array([[1.0, *(setting.get(name) == value for name, value in columns)] for setting in settings])
    freedom = len(records) - design.shape[1] if columns else 0
    if freedom < 1 or np.linalg.matrix_rank(design) < design.shape[1]:
        return []
    found = np.array([record[split][measure] for record in records])
    gains, *_ = np.linalg.lstsq(design, found, rcond=None)
    variance = ((found - design @ gains) ** 2).sum() / freedom
    errors = np.sqrt(variance * np.diag(np.linalg.inv(design.T @ design)))
    return [
        Effect(name, value, values[name][0], float(gain), float(error))
        for (name, value), gain, error in zip(columns, gains[1:], errors[1:], strict=True)
    ]


def _distinct(values: Sequence[Any]) -> list[Any]:
    """Sorts values, so that tables do not depend on the order of the trials."""
    return sorted(dict.fromkeys(values), key=lambda value: (not isinstance(value, (int, float)), str(value)))
