"""The flags that are added to a script, in groups of its ``--help``. They are derived from the configs."""

from __future__ import annotations

import os
from argparse import ArgumentError, ArgumentParser
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..config import Config, add_flags, flag_names, option
from ..errors import check_choice, unusable, wrong
from ..merge.config import MergeConfig
from ..mix.config import RECIPES, MixConfig
from ..mixers.registry import list_mixers
from ..preference.config import PreferenceConfig
from ..saliency.config import SaliencyConfig

__all__ = ["CONFIGS", "FLAGS", "SCRIPT_FIELDS", "LaunchConfig", "add_merge_flags", "add_mix_flags", "dest"]

# Fields of `MixConfig` whose flags are those of timm's script.
SCRIPT_FIELDS = (
    "mixup_alpha",
    "cutmix_alpha",
    "cutmix_minmax",
    "prob",
    "switch_prob",
    "mode",
    "label_smoothing",
)


def _check_mixer(argument: str, value: Any) -> None:
    check_choice(argument, value, [name for name in list_mixers() if name != "mergemix"])


def _check_encoder(argument: str, value: Any) -> None:
    if not isinstance(value, str):
        raise wrong(argument, value, "the name of a timm model")


def _check_checkpoint(argument: str, value: Any) -> None:
    if not (isinstance(value, str) and os.path.isfile(value)):
        raise wrong(argument, value, "the path of a file")


@dataclass(frozen=True)
class LaunchConfig(Config):
    """Settings for which only the launcher has flags."""

    merge_eval: bool = option(True, "merge tokens in the validation between epochs, as in training", read=bool)
    recipe: str | None = option(
        None,
        "MergeMix together with Mixup, by kind of training; other flags override what it sets",
        choices=tuple(RECIPES),
        optional=True,
        flag="--mergemix-recipe",
    )
    mixer: str | None = option(
        None,
        "a mixer by name in place of MergeMix, Mixup and CutMix: resizemix, or one that a package registered",
        _check_mixer,
        metavar="NAME",
        optional=True,
    )
    encoder: str | None = option(
        None,
        "pretrained timm model, also hf-hub:..., that is read to mix by; by default the model in training",
        _check_encoder,
        flag="--mergemix-encoder",
        metavar="NAME",
        optional=True,
    )
    encoder_checkpoint: str | None = option(
        None,
        "weights of that model, in place of timm's",
        _check_checkpoint,
        flag="--mergemix-encoder-checkpoint",
        metavar="PATH",
        optional=True,
    )


CONFIGS: tuple[type[Config], ...] = (MergeConfig, MixConfig, SaliencyConfig, PreferenceConfig, LaunchConfig)
FLAGS = flag_names(*CONFIGS)


def dest(field: str) -> str:
    """Returns the name of the parsed argument that holds a field."""
    return FLAGS[field][2:].replace("-", "_")


def add_merge_flags(parser: ArgumentParser, training: bool) -> None:
    """Adds the flags of token merging.

    Args:
        parser: The script's.
        training: Whether the script trains, and validates between epochs.

    Raises:
        MergeMixError: If the script has a flag of the same name.
    """
    with _group(parser, "Token merging parameters (timm_mergemix)") as group:
        add_flags(group, MergeConfig)
        if training:
            _add(group, LaunchConfig, ["merge_eval"])


def add_mix_flags(parser: ArgumentParser) -> None:
    """Adds the flags of MergeMix and of the preference to a script that trains. Both are off by default.

    Raises:
        MergeMixError: If the script has a flag of the same name.
    """
    by_recipe = {name for recipe in RECIPES.values() for name in recipe}.difference(SCRIPT_FIELDS)
    with _group(parser, "MergeMix parameters (timm_mergemix)") as group:
        _add(group, MixConfig, ["mergemix_alpha"], unset="0")
        _add(group, LaunchConfig, ["recipe"])
        add_flags(group, MixConfig, without={*SCRIPT_FIELDS, "mergemix_alpha", *by_recipe})
        for config in (MixConfig, SaliencyConfig):
            kind = "that of the finetune recipe with --pretrained, else of scratch; the default where neither has one"
            _add(group, config, by_recipe & config.options().keys(), unset=kind)
        add_flags(group, SaliencyConfig, without=by_recipe)
        _add(group, LaunchConfig, ["mixer", "encoder", "encoder_checkpoint"])
    about = "Clean images and mixes run in one batch, so logged speeds count each image twice."
    with _group(parser, "Preference parameters (timm_mergemix)", about) as group:
        _add(group, PreferenceConfig, ["weight"], unset="0")
        add_flags(group, PreferenceConfig, without=["weight", "saliency"])
    parser.set_defaults(**{dest("mergemix_alpha"): 0.0, dest("weight"): 0.0})


def _add(group: Any, config: type[Config], names: Collection[str], unset: str = "") -> None:
    add_flags(group, config, without=config.options().keys() - set(names), unset=unset)


@contextmanager
def _group(parser: ArgumentParser, title: str, about: str | None = None) -> Iterator[Any]:
    """Opens a group for flags. None of them may have the name of a flag of the script."""
    try:
        yield parser.add_argument_group(title, about, conflict_handler="error")
    except ArgumentError as error:
        reason = "the script has a flag of this name, which is needed for this library's; rename it there"
        raise unusable(error.argument_name or "script", reason) from error
