"""Checks the options of ``timm-mergemix train`` and fills in what they leave open."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..config import Config, flag_names, flag_of, given_flags, shown
from ..errors import named, wrong
from ..merge.config import MergeConfig
from ..mix.config import MixConfig
from ..preference.config import PreferenceConfig
from ..saliency.config import SaliencyConfig
from ..training.mixers import mix_settings
from ..training.settings import Optimisation

__all__ = ["FLAGS", "Chosen", "choose"]

FLAGS = flag_names(Optimisation, MergeConfig, MixConfig, SaliencyConfig, PreferenceConfig)


class Chosen(NamedTuple):
    """The settings that a command line asks for, checked and complete.

    Attributes:
        optimisation: Settings of optimiser and schedule.
        merging: Token merging in training and validation.
        mixing: Settings of the mixer.
        preference: Preference of the clean image over its mix.
    """

    optimisation: Optimisation
    merging: MergeConfig
    mixing: dict[str, Any]
    preference: PreferenceConfig

    def in_force(self) -> dict[str, Any]:
        """Returns every setting as a plain value, by the name of its flag."""
        configs = (vars(self.optimisation), vars(self.merging), self.mixing, vars(self.preference))
        values = {FLAGS.get(name, name): value for config in configs for name, value in config.items()}
        return {
            _destination(flag): shown(value) if isinstance(value, tuple) else value for flag, value in values.items()
        }


def choose(args: argparse.Namespace) -> Chosen:
    """Returns the settings that the options ask for.

    Raises:
        MergeMixError: If a value cannot be used, or an option has no effect together with the others.
    """
    mixing = _mixing(args)
    smoothing = mixing.get("label_smoothing", Optimisation.smoothing)
    return Chosen(
        Optimisation(**given_flags(args, Optimisation), smoothing=smoothing),
        _merging(args),
        mixing,
        _preference(args),
    )


def _mixing(args: argparse.Namespace) -> dict[str, Any]:
    if args.mixer != "mergemix" and args.mergemix_recipe is not None:
        raise wrong("mergemix_recipe", args.mergemix_recipe, f"none, since the mixer is {args.mixer}")
    recipe = args.mergemix_recipe or ("finetune" if args.pretrained or args.weights else "scratch")
    given = {**given_flags(args, MixConfig), **given_flags(args, SaliencyConfig)}
    off = {name: flag_of(FLAGS[name], value) for name, value in given.items() if value is False}
    with named(**off):
        return mix_settings(args.mixer, given, recipe)


def _merging(args: argparse.Namespace) -> MergeConfig:
    given = given_flags(args, MergeConfig)
    merging = MergeConfig(**given)
    if not merging.merges:
        _refuse_idle(given, MergeConfig, "r")
    return merging


def _preference(args: argparse.Namespace) -> PreferenceConfig:
    given = given_flags(args, PreferenceConfig)
    preference = PreferenceConfig(**{"weight": 0.0, **given})
    if preference.weight == 0:
        _refuse_idle(given, PreferenceConfig, "weight")
    return preference


def _refuse_idle(given: Mapping[str, Any], config: type[Config], master: str) -> None:
    """Raises if an option is given that has no effect because the feature is off."""
    for name in given:
        if name != master:
            wanted = f"none without {FLAGS[master]} {config.options()[master].metavar}"
            raise wrong(flag_of(FLAGS[name], given[name]), given[name], wanted)


def _destination(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")
