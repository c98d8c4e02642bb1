"""The ways of training that are compared on questions, and their settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...config import Config, integer, number, option, read_number
from ...errors import check_positive
from ...preference.config import PAIR_LOSSES
from ...vlm.config import ENCODED
from ...vlm.loss import SequencePreferenceLoss
from ...vlm.mixer import ImageMixer
from .questions import is_right

__all__ = ["ARMS", "Arm", "VqaSettings", "pair_mixer", "preference_of"]


@dataclass(frozen=True)
class Arm:
    """A way of training.

    Attributes:
        name: Short name, which is also part of the directory name.
        title: Title for display.
        kind: How losers are made, a kind of `ImageMixer`; None for training without the preference.
        keep: Share of the image tokens that reach the language model.
    """

    name: str
    title: str
    kind: str | None
    keep: float = 1.0


ARMS = (
    Arm("sft", "fine-tuning alone", None),
    Arm("mergemix", "with the preference, MergeMix", "mergemix"),
    Arm("half", "the same with half the tokens", "mergemix", 0.5),
)


@dataclass(frozen=True)
class VqaSettings(Config):
    """Settings of the training on questions."""

    epochs: float = option(1.0, "epochs of each way of training", check_positive, read=read_number)
    batch_size: int = option(32, "questions per step", integer(1), read=int)
    lr: float = option(2e-3, "peak learning rate", number(0), read=float)
    beta: float = option(1.0, "scale of the reward", check_positive, flag="")
    gamma: float = option(1.0, "margin for an image that is mixed away completely", number(0), flag="")
    weight: float = option(1.0, "weight of the preference", number(0), flag="")
    variant: str = option("simpo", "loss per pair", choices=PAIR_LOSSES, flag="")
    detach_loser: bool = option(False, "learn the preference only from the winner", read=bool, flag="")
    alpha: float = option(1.0, "lam ~ Beta(alpha, alpha)", check_positive, flag="")
    seed: int = option(0, "seed of all randomness", integer(0), flag="")


def pair_mixer(kind: str, model: Any, **options: Any) -> ImageMixer:
    """A mixer that rejects partners for whose drawing the answer is, or may be, right."""
    encoder = model if kind in ENCODED else None
    return ImageMixer(encoder, kind, still_right=is_right, **options)


def preference_of(arm: Arm, settings: VqaSettings) -> SequencePreferenceLoss:
    """The loss of an arm, with weight 0 if the arm does not use the preference."""
    weight = 0.0 if arm.kind is None else settings.weight
    return SequencePreferenceLoss(
        settings.beta, settings.gamma, weight, settings.variant, detach_loser=settings.detach_loser
    )
