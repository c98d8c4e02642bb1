"""How a batch is mixed in training, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import timm.data
from torch import Tensor, nn

from ..errors import check_choice, named
from ..merge.schedule import R
from ..mixers.mixup import Mixup
from ..mixers.recipes import find_recipe
from ..mixers.registry import create_mixer, list_mixers, takes_encoder

__all__ = ["Mix", "MixOptions", "build_mixer", "mixer_names", "options_used", "timm_mixup"]

Mix: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class MixOptions:
    """Settings of the mixers; each uses those that concern it.

    Attributes:
        mergemix_alpha: lambda of MergeMix ~ Beta(alpha, alpha).
        mixup_alpha: Likewise for Mixup; 0 switches it off.
        cutmix_alpha: Likewise for CutMix.
        prob: Probability that a batch is mixed at all.
        mergemix_prob: Share of MergeMix; the rest is Mixup and CutMix.
        switch_prob: Share of CutMix where Mixup and CutMix are both on.
        smoothing: Label smoothing.
        ratio_mode: What MergeMix's ratio is.
        select: Whose saliency decides which patches MergeMix keeps.
        saliency_r: Token merging in the saliency pass.
        saliency_scale: Size of the images in it, as a share of theirs.
        layer: Block whose attention is read; None for the last but one.
        divide: Whether a merged token's attention is divided among its patches.
    """

    mergemix_alpha: float = 1.0
    mixup_alpha: float = 0.8
    cutmix_alpha: float = 1.0
    prob: float = 1.0
    mergemix_prob: float = 0.5
    switch_prob: float = 0.5
    smoothing: float = 0.1
    ratio_mode: str = "area"
    select: str = "own"
    saliency_r: R | None = ("keep", 0.5)
    saliency_scale: float = 1.0
    layer: int | str | None = None
    divide: bool = True

    @classmethod
    def of(cls, recipe: str, mixer: str = "mergemix", **given: Any) -> MixOptions:
        """Those of a recipe of MergeMix, but for what is given and not None; other mixers mix as many batches.

        Raises:
            MergeMixError: If there is no such recipe.
        """
        known = {name: value for name, value in given.items() if value is not None}
        settings = find_recipe(recipe)
        if mixer != "mergemix":
            settings = {"prob": settings["prob"]}
        return cls(**{**settings, **known})


_SHARED = ("prob", "smoothing")
_OWN: dict[str, tuple[str, ...]] = {
    "mergemix": tuple(each.name for each in fields(MixOptions) if each.name not in _SHARED),
    "mixup": ("mixup_alpha",),
    "cutmix": ("cutmix_alpha",),
    "timm": ("mixup_alpha", "cutmix_alpha", "switch_prob"),
}


def options_used(name: str) -> tuple[str, ...]:
    """The settings in `MixOptions` that concern a mixer; label smoothing concerns training without one too."""
    return ("smoothing",) if name == "none" else (*_OWN.get(name, ()), *_SHARED)


def mixer_names() -> tuple[str, ...]:
    """What `build_mixer` takes, with the mixers that were registered."""
    return ("none", *list_mixers(), "timm")


def timm_mixup(**options: Any) -> Mix:
    """timm's own Mixup with CutMix; its arguments, which it takes unseen, are checked as those of ours.

    Raises:
        MergeMixError: If one is out of its range.
    """
    Mixup(**options)
    return timm.data.Mixup(**options)


def build_mixer(name: str, model: nn.Module, num_classes: int, options: MixOptions) -> Mix | None:
    """A mixer by name.

    Args:
        name: ``"none"``; ``"mergemix"``, ``"mixup"``, ``"cutmix"`` or ``"resizemix"`` of this library; ``"timm"`` for
            timm's own Mixup with CutMix; or a registered name.
        model: The model in training, whose attention MergeMix reads.
        num_classes: Number of classes.
        options: Settings.

    Returns:
        A function of images and labels, None for ``"none"``.

    Raises:
        MergeMixError: If the name is not known, a setting is out of range, or MergeMix cannot read the model.
    """
    check_choice("mixer", name, mixer_names())
    if name == "none":
        return None
    shared = {"num_classes": num_classes, "prob": options.prob, "label_smoothing": options.smoothing}
    own = {each: getattr(options, each) for each in _OWN.get(name, ())}
    if name == "timm":
        return timm_mixup(**own, **shared)
    encoder = {"encoder": model} if takes_encoder(name) else {}
    with named(encoder=f"mixer: {name} reads the model's attention, mixup or none trains any; model"):
        return create_mixer(name, **encoder, **own, **shared)
