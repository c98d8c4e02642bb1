"""A row of the table: steps that are measured together, and the comparisons between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from timm_mergemix.merge.schedule import R
from timm_mergemix.tune.timing import Step

from .steps import Setting

__all__ = ["Comparison", "Row", "describe", "r_in_words"]


class Comparison(NamedTuple):
    """The ratio of one step to another.

    Attributes:
        above: Name of the step in the numerator.
        below: Name of the step in the denominator.
        wanted: The ratio to reach; None if there is no goal.
    """

    above: str
    below: str
    wanted: float | None = None


class Row(NamedTuple):
    """Steps that are measured together.

    Attributes:
        name: Name of the row.
        make: Builds the models and makes the steps.
        comparisons: The ratios to report.
    """

    name: str
    make: Callable[[], dict[str, Step]]
    comparisons: tuple[Comparison, ...]


def describe(setting: Setting) -> str:
    """Describes a setting in words."""
    words = [setting.model, f"batch {setting.batch}", f"r={r_in_words(setting.r)}", f"{setting.size} px"]
    words += ["bf16 autocast"] * setting.autocast + ["compiled"] * setting.compiled
    return ", ".join(words)


def r_in_words(r: R) -> str:
    """Formats token merging as it is typed on the command line."""
    return ":".join(map(str, r)) if isinstance(r, tuple) and isinstance(r[0], str) else str(r)
