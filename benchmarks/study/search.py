"""Chooses the settings to try: all combinations, or a balanced sample of them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from timm_mergemix.errors import check_int

__all__ = ["all_combinations", "drawn_combinations"]

Choices = Mapping[str, Sequence[Any]]
DRAWS = 300


def all_combinations(choices: Choices) -> list[dict[str, Any]]:
    """Returns every combination of the values of each name; one empty combination if there are no names."""
    return [dict(zip(choices, values, strict=True)) for values in product(*choices.values())]


def drawn_combinations(choices: Choices, count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Draws combinations in which the values of a name occur equally often, to within one.

    Random search (Bergstra and Bengio, "Random Search for Hyper-Parameter Optimization", JMLR 2012), each name drawn as
    in a Latin hypercube. Of many such draws, it returns the one from which least squares estimates the gain of values
    most precisely (the largest determinant of the information matrix); `option_effects` makes these estimates.

    Args:
        choices: The values of each name.
        count: Number of combinations; the same one may occur twice.
        seed: Seed of the draw.

    Raises:
        MergeMixError: If ``count`` is not positive.
    """
    check_int("draw", count, 1)
    rng = random.Random(seed)
    draws = [_draw(choices, count, rng) for _ in range(DRAWS)]
    best = max(draws, key=_information)
    return [{name: choices[name][row[name]] for name in choices} for row in best]


def _draw(choices: Choices, count: int, rng: random.Random) -> list[dict[str, int]]:
    """Returns balanced columns of indices, each shuffled independently."""
    columns = {}
    for name, values in choices.items():
        column = [i % len(values) for i in range(count)]
        rng.shuffle(column)
        columns[name] = column
    return [{name: column[i] for name, column in columns.items()} for i in range(count)]


def _information(rows: Sequence[Mapping[str, int]]) -> float:
    """Determinant of the information matrix of main effects, slightly regularised in case there are too few rows."""
    levels = {name: max(row[name] for row in rows) for name in rows[0]}
    design = np.array([[1.0, *(row[name] == k + 1 for name in levels for k in range(levels[name]))] for row in rows])
    return float(np.linalg.slogdet(design.T @ design + 1e-3 * np.eye(design.shape[1]))[1])
