"""Rows that compare training steps with the preference (clean image over mix) with the same step without it."""

from __future__ import annotations

import torch

from timm_mergemix.merge.patch import patch
from timm_mergemix.preference.loss import PreferenceLoss
from timm_mergemix.preference.step import PreferenceStep
from timm_mergemix.tune.timing import Step

from .mixing import MERGEMIX, Pass
from .row import Comparison, Row, describe
from .steps import Setting, make_batch, mergemix

__all__ = ["SEPARATE", "WINNER", "preference_step"]

# Names of steps.
WINNER, SEPARATE = "saliency of the winner", "saliency pass of its own"
SALIENCY = Pass(("keep", 0.5))


def preference_step(setting: Setting) -> Row:
    """Compares merged training on MergeMix with the preference, for both sources of saliency, with the same without."""

    def make() -> dict[str, Step]:
        return {
            MERGEMIX: _step(setting, 0.0, "separate"),
            WINNER: _step(setting, 1.0, "winner"),
            SEPARATE: _step(setting, 1.0, "separate"),
        }

    return Row(
        f"preference step, {describe(setting)}", make, (Comparison(WINNER, MERGEMIX), Comparison(SEPARATE, MERGEMIX))
    )


def _step(setting: Setting, weight: float, saliency: str) -> Step:
    model = patch(setting.create(), setting.r).train()
    images, labels = make_batch(setting)
    prefer = PreferenceStep(model, mergemix(model, *SALIENCY), PreferenceLoss(weight=weight), saliency=saliency)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6)

    def step() -> None:
        optimizer.zero_grad()
        with setting.context():
            loss = prefer(images, labels).terms.total
        loss.backward()
        optimizer.step()

    return step
