"""Settings that say how strongly, and by which loss, the clean image is preferred to its mix."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import Config, number, option
from ..errors import check_positive

__all__ = ["PAIR_LOSSES", "SOURCES", "VARIANTS", "PreferenceConfig"]

PAIR_LOSSES = ("simpo", "hinge")
VARIANTS = (*PAIR_LOSSES, "dpo")  # "dpo" needs a second, frozen model
SOURCES = ("winner", "separate")


@dataclass(frozen=True)
class PreferenceConfig(Config):
    """Settings of `timm_mergemix.PreferenceLoss` and `timm_mergemix.PreferenceStep`."""

    beta: float = option(1.0, "scale of the reward", check_positive, flag="--preference-beta", read=float)
    gamma: float = option(
        1.0, "margin for an image that is mixed away completely", number(0), flag="--preference-gamma", read=float
    )
    weight: float = option(
        1.0,
        "weight of the preference of the clean image over its mix; 0 turns it off",
        number(0),
        flag="--preference",
        read=float,
        metavar="WEIGHT",
    )
    variant: str = option("simpo", "loss per pair", choices=VARIANTS, typed=PAIR_LOSSES, flag="--preference-variant")
    saliency: str | None = option(
        None,
        "pass that yields the attention for the mix: winner = the winner's training pass, separate = an extra pass; "
        "by default winner where that is possible",
        choices=SOURCES,
        optional=True,
        flag="--preference-saliency",
    )
    detach_winner: bool = option(False, "learn the preference only from the loser", read=bool, flag="")
    detach_loser: bool = option(False, "learn the preference only from the winner", read=bool, flag="")
