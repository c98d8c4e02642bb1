"""How a batch is mixed in training: a mixer by name, and the settings that are in force."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import timm.data
from torch import Tensor, nn

from ..errors import MergeMixError, check_choice, unusable, wrong
from ..mix.config import MixConfig, find_recipe
from ..mixers.mixup import Mixup
from ..mixers.registry import create_mixer, list_mixers, takes, takes_encoder
from ..saliency.config import SaliencyConfig

__all__ = ["Mix", "build_mixer", "describe_mixing", "mix_settings", "mixer_names", "timm_mixup"]

Mix: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

# Each of these names stands for one way of mixing; the other one is added only if it is asked for.
ALONE: Mapping[str, Mapping[str, Any]] = {"mixup": {"cutmix_alpha": 0.0}, "cutmix": {"mixup_alpha": 0.0}}


def mixer_names() -> tuple[str, ...]:
    """What `build_mixer` takes, with the mixers that were registered."""
    return ("none", *list_mixers(), "timm")


def mix_settings(mixer: str, given: Mapping[str, Any], recipe: str = "scratch") -> dict[str, Any]:
    """The settings of a mixer: what is given, else the recipe's for MergeMix, else the defaults.

    Args:
        mixer: A name that `build_mixer` takes.
        given: Fields of `MixConfig` and `SaliencyConfig`.
        recipe: A recipe of MergeMix.

    Raises:
        MergeMixError: If the mixer does not take what is given, or a name is not known.
    """
    check_choice("mixer", mixer, mixer_names())
    defaults = {**vars(MixConfig()), **vars(SaliencyConfig())}
    own = {name for name in defaults if _takes(mixer, name)}
    # A function that is registered may hand on what its signature does not show.
    known = own if mixer in ("none", "timm") else {*own, *MixConfig().shared()}
    unused = next((name for name in given if name not in known), None)
    if unused is not None:
        raise wrong(unused, given[unused], f"none, since the mixer is {mixer}, which does not take it")
    start = {**defaults, **(find_recipe(recipe) if mixer == "mergemix" else ALONE.get(mixer, {}))}
    return {name: value for name, value in start.items() if name in own} | dict(given)


def _takes(mixer: str, name: str) -> bool:
    if mixer == "none":
        return name == "label_smoothing"  # which training without mixing has too
    return name in inspect.signature(timm.data.Mixup).parameters if mixer == "timm" else takes(mixer, name)


def timm_mixup(**settings: Any) -> Mix:
    """timm's own Mixup with CutMix. timm does not check its arguments, so they are checked here as those of `Mixup`.

    Raises:
        MergeMixError: If one is out of its range.
    """
    Mixup(**settings)
    return timm.data.Mixup(**settings)


def build_mixer(name: str, model: nn.Module, num_classes: int, settings: Mapping[str, Any]) -> Mix | None:
    """A mixer by name.

    Args:
        name: ``"none"``; ``"mergemix"``, ``"mixup"``, ``"cutmix"`` or ``"resizemix"`` of this library; ``"timm"`` for
            timm's own Mixup with CutMix; or a registered name.
        model: The model in training, whose attention MergeMix reads.
        num_classes: Number of classes.
        settings: As `mix_settings` gives them.

    Returns:
        A function of images and labels, None for ``"none"``.

    Raises:
        MergeMixError: If the name is not known, a setting is out of range, or MergeMix cannot read the model.
    """
    check_choice("mixer", name, mixer_names())
    if name == "none":
        return None
    if name == "timm":
        return timm_mixup(num_classes=num_classes, **settings)
    encoder = {"encoder": model} if takes_encoder(name) else {}
    try:
        return create_mixer(name, **encoder, num_classes=num_classes, **settings)
    except MergeMixError as error:
        if error.argument != "encoder":
            raise
        error.argument = "model"
        reason = f"{name} reads the model, while mixup and none work with any model; {error}"
        raise unusable("mixer", reason) from error


def describe_mixing(name: str, settings: Mapping[str, Any]) -> str:
    """A line on how images are mixed: by what, and how many of them.

    Args:
        name: The mixer, as `build_mixer` takes it.
        settings: As `mix_settings` gives them.
    """
    if name == "none":
        return "Mixing: off."
    unit = "batches" if settings.get("mode", "batch") == "batch" else "images"
    share = f" in {100 * settings['prob']:.3g} % of the {unit}" if "prob" in settings else ""
    return f"Mixing: {name}{share}{_rest(settings) if name == 'mergemix' else ''}."


def _rest(settings: Mapping[str, Any]) -> str:
    """What MergeMix's batches that are mixed otherwise get, if there are any."""
    cutmix = settings["cutmix_alpha"] > 0 or settings["cutmix_minmax"] is not None
    others = [word for word, used in (("Mixup", settings["mixup_alpha"] > 0), ("CutMix", cutmix)) if used]
    share = settings["mergemix_prob"] if settings["mergemix_alpha"] > 0 else 0.0
    if not others or share == 1:
        return ""
    return f", {100 * share:.3g} % of those by MergeMix and the others by {' or '.join(others)}"
