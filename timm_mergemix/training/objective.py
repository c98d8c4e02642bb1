"""What a training step minimises: mixing, forward passes and loss in one call."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from torch import Tensor, nn

from ..errors import wrong
from ..mix.loss import SoftTargetLoss
from ..mix.mixer import Mixer
from ..preference.config import PreferenceConfig
from ..preference.loss import PreferenceLoss
from ..preference.step import PreferenceStep
from .mixers import Mix

__all__ = ["NO_PREFERENCE", "Objective", "build_objective"]

Objective: TypeAlias = Callable[[Tensor, Tensor], dict[str, Tensor]]

NO_PREFERENCE = PreferenceConfig(weight=0.0)


def build_objective(
    model: nn.Module, mixer: Mix | None, smoothing: float, preference: PreferenceConfig = NO_PREFERENCE
) -> Objective:
    """A function of images and labels that returns ``"loss"``, and the terms of the preference where there is one.

    Args:
        model: The model in training.
        mixer: Mixes a batch; None trains on plain images.
        smoothing: Label smoothing where nothing is mixed; mixers smooth their own targets.
        preference: Preference of the clean image over its mix.

    Raises:
        MergeMixError: If there is a preference and no mixer of this library.
    """
    criterion = SoftTargetLoss(smoothing=smoothing)
    if isinstance(mixer, Mixer):
        loss = PreferenceLoss.of(preference, criterion)
        return partial(_terms, PreferenceStep(model, mixer, loss, saliency=preference.saliency))
    if preference.weight > 0:
        wanted = "0 where images are not mixed by a mixer of this library, since there is no loser"
        raise wrong("weight", preference.weight, wanted)
    return partial(_plain, model, mixer, criterion)


def _terms(step: PreferenceStep, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
    terms = step(images, labels).terms
    if step.loss.weight == 0:
        return {"loss": terms.total}
    named = {name: getattr(terms, name).detach() for name in terms._fields[1:]}
    # A batch in which nothing was mixed has no pair: its preference is 0, which must not count in a mean over batches.
    named["preference"] = named["preference"].where(~named["reward_margin"].isnan(), float("nan"))
    return {"loss": terms.total, **named}


def _plain(
    model: nn.Module, mixer: Mix | None, criterion: SoftTargetLoss, images: Tensor, labels: Tensor
) -> dict[str, Tensor]:
    images, targets = (images, labels) if mixer is None else mixer(images, labels)
    return {"loss": criterion(model(images), targets)}
