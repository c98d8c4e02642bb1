"""What a training step minimises: mixing, forward passes and loss in one call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from torch import Tensor, nn

from ..errors import Words, check_choice, check_number, wrong
from ..loss import SoftTargetLoss
from ..mix.mixer import Mixer
from ..preference.loss import PAIR_LOSSES, PreferenceLoss
from ..preference.step import PreferenceStep
from .mixers import Mix

__all__ = ["Objective", "PreferenceOptions", "build_objective"]

Objective: TypeAlias = Callable[[Tensor, Tensor], dict[str, Tensor]]


@dataclass(frozen=True)
class PreferenceOptions:
    """Settings of preference training, see `PreferenceLoss` and `PreferenceStep`.

    Attributes:
        weight: Of the preference term; 0 trains without it.
        beta: Scale of the reward.
        gamma: Margin of an image that is mixed away.
        variant: ``"simpo"`` or ``"hinge"``.
        saliency: ``"winner"``, ``"separate"``, or None for what is possible.
    """

    weight: float = 0.0
    beta: float = 1.0
    gamma: float = 1.0
    variant: str = "simpo"
    saliency: str | None = None

    def __post_init__(self) -> None:
        check_number("preference", self.weight, 0)
        check_choice("preference_variant", self.variant, PAIR_LOSSES)


def build_objective(
    model: nn.Module, mixer: Mix | None, smoothing: float, preference: PreferenceOptions | None = None
) -> Objective:
    """A function of images and labels that returns ``"loss"``, and the terms of the preference where there is one.

    Args:
        model: The model in training.
        mixer: Mixes a batch; None trains on plain images.
        smoothing: Label smoothing where nothing is mixed; mixers smooth their own targets.
        preference: Settings; None trains without it.

    Raises:
        MergeMixError: If there is a preference and no mixer of this library.
    """
    criterion = SoftTargetLoss(smoothing=smoothing)
    if isinstance(mixer, Mixer):
        options = preference or PreferenceOptions()
        loss = PreferenceLoss(options.beta, options.gamma, options.weight, options.variant, criterion)
        step = PreferenceStep(model, mixer, loss, saliency=options.saliency)
        return partial(_terms, step)
    if preference is not None and preference.weight > 0:
        raise wrong(
            "preference",
            Words("a weight > 0"),
            "0 where images are not mixed by a mixer of this library, since there is no loser",
        )
    if mixer is None:
        return lambda images, labels: {"loss": criterion(model(images), labels)}
    return partial(_dense, model, mixer, criterion)


def _terms(step: PreferenceStep, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
    terms = step(images, labels).terms
    if step.loss.weight == 0:
        return {"loss": terms.total}
    named = {name: getattr(terms, name).detach() for name in terms._fields[1:]}
    # A batch in which nothing was mixed has no pair: its preference is 0, which must not count in a mean over batches.
    named["preference"] = named["preference"].where(~named["reward_margin"].isnan(), float("nan"))
    return {"loss": terms.total, **named}


def _dense(
    model: nn.Module, mixer: Mix, criterion: SoftTargetLoss, images: Tensor, labels: Tensor
) -> dict[str, Tensor]:
    images, targets = mixer(images, labels)
    return {"loss": criterion(model(images), targets)}
