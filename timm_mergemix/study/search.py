"""Which settings are tried: all combinations, or a balanced draw of them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from ..errors import check_int

__all__ = ["all_combinations", "drawn_combinations"]

Choices = Mapping[str, Sequence[Any]]


def all_combinations(choices: Choices) -> list[dict[str, Any]]:
    """Every combination of the values of each name; a single empty one if there is no name."""
    return [dict(zip(choices, values, strict=True)) for values in product(*choices.values())]


def drawn_combinations(choices: Choices, count: int, seed: int = 0) -> list[dict[str, Any]]:
    """So many combinations at random, in which each value of a name comes equally often, to within one.

    Random search (Bergstra and Bengio, "Random Search for Hyper-Parameter Optimization", JMLR 2012), each name drawn as
    in a Latin hypercube: what a value gains can be told from all trials at once, see `option_effects`.

    Args:
        choices: Values of each name.
        count: How many combinations; the same one may come twice.
        seed: Of the draw.

    Raises:
        MergeMixError: If ``count`` is not positive.
    """
    check_int("draw", count, 1)
    rng = random.Random(seed)
    columns = {}
    for name, values in choices.items():
        column = [values[i % len(values)] for i in range(count)]
        rng.shuffle(column)
        columns[name] = column
    return [{name: column[i] for name, column in columns.items()} for i in range(count)]
