"""The methods that are compared: ways of mixing a batch and of training on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from torch import nn

from timm_mergemix.errors import Words, check_choice, unusable, wrong
from timm_mergemix.mixers.registry import create_mixer, list_mixers, takes_encoder
from timm_mergemix.training.mixers import Mix, timm_mixup

from .controls import corner_ties, inverted, pair_by_saliency, random_patches, sampled
from .truth import Masks, cutmix_seen, mix_by_truth
from .two_batches import two_batches

__all__ = ["ARMS", "Arm", "build_mix", "find_arm"]

_CONTROLS: dict[str, Callable[..., Mix]] = {
    "random-patches": random_patches,
    "inverted": inverted,
    "corner-ties": corner_ties,
    "pair-by-saliency": pair_by_saliency,
    "sampled": sampled,
    "two-batches": two_batches,
}
# Those that must be told where the objects are.
_TOLD: dict[str, Callable[..., Mix]] = {"truth": mix_by_truth, "cutmix-seen": cutmix_seen}


@dataclass(frozen=True)
class Arm:
    """A method, which is one row of the table.

    Attributes:
        title: The name in tables and plots.
        mixer: Name of a mixer; None trains on plain images.
        options: Options of the mixer that differ from its defaults.
        preference: Weight of the preference of the clean image over its mix.
        merges: Whether training runs with merged tokens.
    """

    title: str
    mixer: str | None = None
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    preference: float = 0.0
    merges: bool = False


def _mergemix(title: str, *, merges: bool = False, preference: float = 0.0, **options: Any) -> Arm:
    return Arm(title, "mergemix", {"mergemix_prob": 1.0, **options}, preference, merges)


def _truth(title: str, by: str, target: str = "area", **options: Any) -> Arm:
    return Arm(title, "truth", {"mergemix_prob": 1.0, "by": by, "target": target, **options})


ARMS: dict[str, Arm] = {
    "none": Arm("no mixing"),
    "mixup": Arm("Mixup", "timm", {"mixup_alpha": 0.8}),
    "cutmix": Arm("CutMix", "timm", {"mixup_alpha": 0.0, "cutmix_alpha": 1.0}),
    "timm": Arm("Mixup + CutMix", "timm", {"mixup_alpha": 0.8, "cutmix_alpha": 1.0}),
    "timm-merged": Arm(
        "Mixup + CutMix, trained merged", "timm", {"mixup_alpha": 0.8, "cutmix_alpha": 1.0}, merges=True
    ),
    "resizemix": Arm("ResizeMix", "resizemix"),
    "mergemix-mixup": _mergemix("MergeMix with Mixup", mergemix_prob=0.5, cutmix_alpha=0.0),
    "mergemix-mixup-merged": _mergemix(
        "MergeMix with Mixup, trained merged", mergemix_prob=0.5, cutmix_alpha=0.0, merges=True
    ),
    "mergemix-timm": _mergemix("MergeMix with Mixup + CutMix", mergemix_prob=0.5),
    "mergemix-cutmix": _mergemix("MergeMix with CutMix", mergemix_prob=0.5, mixup_alpha=0.0),
    "mergemix": _mergemix("MergeMix alone"),
    "mergemix-merged": _mergemix("MergeMix alone, trained merged", merges=True),
    "preference": _mergemix("MergeMix alone, with preference", preference=1.0),
    "preference-mixup": _mergemix(
        "MergeMix with Mixup, with preference", preference=1.0, mergemix_prob=0.5, cutmix_alpha=0.0
    ),
    "mergemix-copied": _mergemix("MergeMix alone, attention copied", divide=False),
    "mergemix-attention": _mergemix("MergeMix alone, ratio by attention", ratio_mode="attention"),
    "mergemix-gaussian": _mergemix("MergeMix alone, published ratio", ratio_mode="gaussian"),
    "mergemix-small": _mergemix("MergeMix alone, pass at half size", saliency_scale=0.5),
    "mergemix-corner": Arm("MergeMix alone, ties to a corner", "corner-ties", {"mergemix_prob": 1.0}),
    "mergemix-pairs": Arm("MergeMix alone, pairs by saliency", "pair-by-saliency", {"mergemix_prob": 1.0}),
    "mergemix-sampled": Arm("MergeMix alone, patches drawn by saliency", "sampled", {"mergemix_prob": 1.0}),
    "random-mixup": Arm(
        "control: random patches with Mixup", "random-patches", {"mergemix_prob": 0.5, "cutmix_alpha": 0.0}
    ),
    "random-patches": Arm("control: random patches alone", "random-patches", {"mergemix_prob": 1.0}),
    "inverted": Arm("control: least salient patches alone", "inverted", {"mergemix_prob": 1.0}),
    "oracle": _truth("oracle: the object's patches", "truth"),
    "oracle-seen": _truth("oracle: the object's patches, ratio by objects seen", "truth", "seen"),
    "oracle-both-seen": _truth("oracle: most of both objects, ratio by objects seen", "truth", "seen", select="both"),
    "oracle-inverted": _truth("oracle: the ground's patches", "inverted"),
    "oracle-inverted-seen": _truth("oracle: the ground's patches, ratio by objects seen", "inverted", "seen"),
    "mergemix-seen": _truth("MergeMix alone, ratio by objects seen", "attention", "seen"),
    "random-attention": _truth("control: random patches, ratio by attention", "random", "attention"),
    "random-seen": _truth("control: random patches, ratio by objects seen", "random", "seen"),
    "cutmix-seen": Arm("CutMix, ratio by objects seen", "cutmix-seen"),
    "paper": Arm("published step: MergeMix and Mixup, two batches", "two-batches", {"first": "paper"}),
    "mixup-twice": Arm("control: Mixup and Mixup, two batches", "two-batches", {"first": "mixup"}),
    "cutmix-and-mixup": Arm("control: CutMix and Mixup, two batches", "two-batches", {"first": "cutmix"}),
}


def find_arm(name: str) -> Arm:
    """Returns a method by name; the name of a registered mixer is also a method.

    Raises:
        MergeMixError: If there is no such method.
    """
    own = [mixer for mixer in list_mixers() if mixer not in ARMS]
    check_choice("method", name, (*ARMS, *own))
    return ARMS.get(name) or Arm(name, name)


def build_mix(
    method: Arm, model: nn.Module, classes: int, options: Mapping[str, Any], masks: Masks | None = None
) -> Mix | None:
    """Makes the mixer of a method.

    Args:
        method: Name of the method.
        model: The model in training.
        classes: Number of classes.
        options: Options of the mixer, which override those of the method.
        masks: A function that returns the object masks of a training batch; None if they are not known.

    Raises:
        MergeMixError: If the mixer does not take an option, or must be told where the objects are and nobody knows.
    """
    if method.mixer is None:
        refused = ", ".join(name for name in options if name != "label_smoothing")
        if refused:
            raise wrong("options", Words(refused), "none for training without mixing")
        return None
    name, given = method.mixer, {"num_classes": classes, **method.options, **options}
    try:
        if name == "timm":
            return timm_mixup(**given)
        if name in _CONTROLS:
            return _CONTROLS[name](model, **given)
        if name in _TOLD:
            if masks is None:
                raise unusable("method", f"{method.title}: the task does not know where its objects are")
            return _TOLD[name](model, masks=masks, **given)
        return create_mixer(name, **({"encoder": model} if takes_encoder(name) else {}), **given)
    except TypeError as error:
        raise unusable("options", f"{name} does not take them: {error}") from error
