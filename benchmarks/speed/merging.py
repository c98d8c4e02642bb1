"""Rows that compare merged models with the lower bound and with the unpatched model."""

from __future__ import annotations

from timm_mergemix.tune.timing import Step

from .row import Comparison, Row, describe
from .steps import Setting, infer, make_models, train

__all__ = ["over_ideal"]


def over_ideal(kind: str, setting: Setting, wanted: float | None) -> Row:
    """Compares a merged model with the ideal one and with the unpatched one."""

    def make() -> dict[str, Step]:
        models = make_models(setting, training=kind == "training")
        return {name: (infer if kind == "inference" else train)(setting, model) for name, model in models.items()}

    shown = [Comparison("merged", "unpatched"), Comparison("ideal", "unpatched")]
    if setting.reference is not None:
        shown.append(Comparison("published", "ideal"))
    return Row(f"{kind}, {describe(setting)}", make, (Comparison("merged", "ideal", wanted), *shown))
