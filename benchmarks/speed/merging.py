"""Rows of merged models: over the floor for any merging, and over the model as it is."""

from __future__ import annotations

from timm_mergemix.tune.timing import Step

from .row import Comparison, Row, describe
from .steps import Setting, infer, make_models, train

__all__ = ["over_ideal"]


def over_ideal(kind: str, setting: Setting, wanted: float | None) -> Row:
    """A merged model over the ideal, and over the model as it is."""

    def make() -> dict[str, Step]:
        models = make_models(setting, training=kind == "training")
        return {name: (infer if kind == "inference" else train)(setting, model) for name, model in models.items()}

    shown = [Comparison("merged", "unpatched"), Comparison("ideal", "unpatched")]
    if setting.reference is not None:
        shown.append(Comparison("published", "ideal"))
    return Row(f"{kind}, {describe(setting)}", make, (Comparison("merged", "ideal", wanted), *shown))
