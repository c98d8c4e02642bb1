"""How a batch is mixed: the settings of `Mixer` and of the blends, and the recipes that set some of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ..config import Config, number, option
from ..errors import check_choice, check_number, wrong

__all__ = ["RECIPES", "MixConfig", "check_limits", "find_recipe"]


def check_limits(argument: str, value: Any) -> None:
    """Raises unless ``value`` is two shares, the lower one first."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise wrong(argument, value, "two shares, (low, high)")
    check_number(argument, value[0], 0, 1, part="[0]")
    check_number(argument, value[1], value[0], 1, part="[1]")


@dataclass(frozen=True)
class MixConfig(Config):
    """Which ways of mixing there are, how often each is taken, and what becomes of the targets.

    Names and defaults are those of `timm_mergemix.MergeMix`; on command lines timm's own options have timm's flags.
    """

    mergemix_alpha: float = option(
        1.0,
        "MergeMix: lam ~ Beta(ALPHA, ALPHA), 0 is off",
        number(0),
        flag="--mergemix",
        read=float,
        metavar="ALPHA",
    )
    mixup_alpha: float = option(
        0.8, "Mixup: lam ~ Beta(ALPHA, ALPHA), 0 is off", number(0), flag="--mixup", read=float, metavar="ALPHA"
    )
    cutmix_alpha: float = option(
        1.0, "CutMix: lam ~ Beta(ALPHA, ALPHA), 0 is off", number(0), flag="--cutmix", read=float, metavar="ALPHA"
    )
    cutmix_minmax: tuple[float, float] | None = option(
        None,
        "CutMix: limits of the box's sides, as shares of the image",
        check_limits,
        read=float,
        nargs=2,
        optional=True,
    )
    prob: float = option(1.0, "probability that a batch is mixed at all", number(0, 1), flag="--mixup-prob", read=float)
    mergemix_prob: float = option(
        0.5,
        "share of MergeMix among the batches that are mixed; the rest is Mixup and CutMix, or unmixed if both are off",
        number(0, 1),
        read=float,
    )
    switch_prob: float = option(
        0.5, "share of CutMix if Mixup and CutMix are both on", number(0, 1), flag="--mixup-switch-prob", read=float
    )
    mode: str = option(
        "batch",
        "which images share random numbers: the batch, each pair, or none",
        choices=("batch", "pair", "elem"),
        flag="--mixup-mode",
    )
    correct_lam: bool = option(True, "CutMix: measure the ratio on the box after it is clipped to the image", read=bool)
    ratio_mode: str = option(
        "area",
        "MergeMix: the mixing ratio is the share of pixels, of attention, or the paper's random rescaling",
        choices=("area", "attention", "gaussian"),
    )
    select: str = option(
        "own",
        "MergeMix: keep the patches that are salient in the image itself, or that show most of both images",
        choices=("own", "both"),
    )
    label_smoothing: float = option(0.1, "label smoothing", number(0, 1), flag="--smoothing", read=float)
    multi_label: bool = option(False, "labels are rows of independent classes", read=bool, flag="")

    def shared(self) -> dict[str, Any]:
        """The arguments of `Mixer`, whatever the blends are."""
        return {name: getattr(self, name) for name in ("prob", "mode", "label_smoothing", "multi_label")}


_SHARED = {
    "cutmix_alpha": 0.0,  # Mixup, which stays on, hardens most against noise
    "prob": 0.5,  # all batches: no more accurate, and under-confident
}

# The options in which each differs from the defaults, as chosen by the comparison of docs/results.md.
RECIPES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "scratch": MappingProxyType(_SHARED),
        # Few images are learnt by heart, wrong targets too: the target says what is seen.
        "finetune": MappingProxyType({**_SHARED, "ratio_mode": "attention"}),
        # The MergeMix batch of the published step, which has a Mixup batch beside it; for comparison.
        "paper": MappingProxyType({"mergemix_prob": 1.0, "ratio_mode": "gaussian", "divide": False}),
    }
)


def find_recipe(name: str) -> dict[str, Any]:
    """The options in which a recipe differs from the defaults of `MergeMix`, as a new dictionary.

    Raises:
        MergeMixError: If there is no such recipe.
    """
    check_choice("recipe", name, tuple(RECIPES))
    return dict(RECIPES[name])
