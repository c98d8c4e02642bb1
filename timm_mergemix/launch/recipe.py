"""Fills in settings of MergeMix that are not given, from a recipe or from the defaults."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ..mix.config import RECIPES

__all__ = ["OFF", "fill"]

# Nothing is mixed: timm's defaults, for a script that lacks one of these flags, and ours.
OFF: Mapping[str, Any] = {
    "mergemix_alpha": 0.0,
    "mixup_alpha": 0.0,
    "cutmix_alpha": 0.0,
    "cutmix_minmax": None,
    "prob": 1.0,
    "switch_prob": 0.5,
}
BESIDE = ("mixup_alpha", "cutmix_alpha", "cutmix_minmax")  # what may stand beside MergeMix


def fill(values: Mapping[str, Any], given: Collection[str], recipe: str | None, kind: str) -> dict[str, Any]:
    """Returns settings of `MixConfig` and `SaliencyConfig`. A missing one has its default there.

    Args:
        values: What the flags say, by field; those of `OFF` are always there.
        given: Which of `OFF` were given; the others have their defaults in ``values``.
        recipe: Name of the recipe that was asked for, which then sets all that was not given; or None.
        kind: The recipe for this kind of training, used for how MergeMix itself mixes when no recipe is named.
    """
    if recipe is None:
        own = {name: value for name, value in RECIPES[kind].items() if name not in OFF}
        return {**own, **values}
    # Where one of them is asked for, the others are as the script has them.
    asked = set(BESIDE) if set(BESIDE) & set(given) else set()
    left = {*OFF} - {*given} - asked
    return {**RECIPES[recipe], **{name: value for name, value in values.items() if name not in left}}
