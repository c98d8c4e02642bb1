"""Which settings are tried: all combinations, or a balanced draw of them."""

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
    """Every combination of the values of each name; a single empty one if there is no name."""
    return [dict(zip(choices, values, strict=True)) for values in product(*choices.values())]


def drawn_combinations(choices: Choices, count: int, seed: int = 0) -> list[dict[str, Any]]:
    """So many combinations, in which each value of a name comes equally often, to within one.

    Random search (Bergstra and Bengio, "Random Search for Hyper-Parameter Optimization", JMLR 2012), each name drawn as
    in a Latin hypercube. Of many such draws it is the one from which least squares tells most surely what each value
    gains (the largest determinant of the information matrix), see `option_effects`.

    Args:
        choices: Values of each name.
        count: How many combinations; the same one may come twice.
        seed: Of the draw.

    Raises:
        MergeMixError: If ``count`` is not positive.
    """
    check_int("draw", count, 1)
    rng = random.Random(seed)
    draws = [_draw(choices, count, rng) for _ in range(DRAWS)]
    best = max(draws, key=_information)
    return [{name: choices[name][row[name]] for name in choices} for row in best]


def _draw(choices: Choices, count: int, rng: random.Random) -> list[dict[str, int]]:
    """Balanced columns of indices, shuffled apart from each other."""
    columns = {}
    for name, values in choices.items():
        column = [i % len(values) for i in range(count)]
        rng.shuffle(column)
        columns[name] = column
    return [{name: column[i] for name, column in columns.items()} for i in range(count)]


def _information(rows: Sequence[Mapping[str, int]]) -> float:
    """Determinant of the information matrix of main effects, a trace of regularisation where rows are too few."""
    levels = {name: max(row[name] for row in rows) for name in rows[0]}
    design = np.array([[1.0, *(row[name] == k + 1 for name in levels for k in range(levels[name]))] for row in rows])
    return float(np.linalg.slogdet(design.T @ design + 1e-3 * np.eye(design.shape[1]))[1])
