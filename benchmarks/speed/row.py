"""A row of the table: steps that are measured together, and what is read off."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from timm_mergemix.merge.schedule import R
from timm_mergemix.tune.timing import Step

from .steps import Setting

__all__ = ["Comparison", "Row", "describe", "r_in_words"]


class Comparison(NamedTuple):
    """One step over another.

    Attributes:
        above: Name of the one.
        below: Name of the other.
        wanted: The ratio that is to be reached; None where it is shown only.
    """

    above: str
    below: str
    wanted: float | None = None


class Row(NamedTuple):
    """Steps that are measured together.

    Attributes:
        name: What they are steps of.
        make: Makes them; models are built here.
        comparisons: What is read off.
    """

    name: str
    make: Callable[[], dict[str, Step]]
    comparisons: tuple[Comparison, ...]


def describe(setting: Setting) -> str:
    """A setting in words."""
    words = [setting.model, f"batch {setting.batch}", f"r={r_in_words(setting.r)}", f"{setting.size} px"]
    words += ["bf16 autocast"] * setting.autocast + ["compiled"] * setting.compiled
    return ", ".join(words)


def r_in_words(r: R) -> str:
    """Token merging, as it is typed."""
    return ":".join(map(str, r)) if isinstance(r, tuple) and isinstance(r[0], str) else str(r)
