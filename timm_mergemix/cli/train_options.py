"""The options of ``timm-mergemix train``: those of the configs, and what no config has."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from timm.utils import ParseKwargs

from ..config import Config, add_flags, flag_names, given_flags, shown
from ..errors import wrong
from ..merge.config import MergeConfig
from ..mix.config import RECIPES, MixConfig
from ..preference.config import PreferenceConfig
from ..saliency.config import SaliencyConfig
from ..training.mixers import mix_settings, mixer_names
from ..training.optim import Optimisation
from .options import add_common

__all__ = ["FLAGS", "Chosen", "add_arguments", "choose"]

FLAGS = flag_names(Optimisation, MergeConfig, MixConfig, SaliencyConfig, PreferenceConfig)


class Chosen(NamedTuple):
    """What a command line asks for, checked and complete.

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
        """Every setting by the name of its flag, as plain values."""
        configs = (vars(self.optimisation), vars(self.merging), self.mixing, vars(self.preference))
        values = {FLAGS.get(name, name): value for config in configs for name, value in config.items()}
        return {
            _destination(flag): shown(value) if isinstance(value, tuple) else value for flag, value in values.items()
        }


class KeyValues(ParseKwargs):
    """timm's, with an error of argparse's for what is none."""

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().__call__(*args, **kwargs)
        except ValueError as error:
            raise argparse.ArgumentError(self, "wanted KEY=VALUE each") from error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add = parser.add_argument
    add("--data", type=Path, metavar="DIR", required=True, help="DIR/train and DIR/val, or DIR/CLASS, with images")
    add("--model", metavar="NAME", required=True, help="name of a timm model")
    add("--out", type=Path, metavar="DIR", help="where results go; runs/MODEL-MIXER if not given")
    add("--img-size", type=int, help="side of the images in pixels; the model's own if not given")
    add("--pretrained", action="store_true", help="begin with timm's weights")
    add("--weights", metavar="FILE", help="begin with those of a file, but for its head")
    add("--model-kwargs", nargs="*", default={}, action=KeyValues, metavar="KEY=VALUE", help="for the model")
    add("--batch-size", type=int, default=64, help="images per step")
    add("--auto-augment", metavar="POLICY", help="timm's name of a policy, such as rand-m9-mstd0.5-inc1")
    add("--amp", action="store_true", help="forward passes in bfloat16")
    add("--workers", type=int, default=2, help="processes that read images")
    add("--resume", action="store_true", help="go on with the run in OUT")
    add_common(parser)
    add_flags(parser.add_argument_group("optimisation"), Optimisation)
    add_flags(parser.add_argument_group("token merging", "in training and validation"), MergeConfig)
    mixing = parser.add_argument_group("mixing", "a mixer takes only the options that concern it")
    mixer_help = "how batches are mixed; timm is timm's Mixup and CutMix"
    mixing.add_argument("--mixer", choices=mixer_names(), default="mergemix", help=mixer_help)
    recipe_help = "settings of MergeMix by kind of training; if not given, finetune where weights are, else scratch"
    mixing.add_argument("--mergemix-recipe", choices=tuple(RECIPES), help=recipe_help)
    add_flags(mixing, MixConfig, unset="the recipe's, or the mixer's")
    add_flags(mixing, SaliencyConfig)
    preference = parser.add_argument_group("preference", "the clean image is preferred to its mix")
    rest = [name for name in PreferenceConfig.options() if name != "weight"]
    add_flags(preference, PreferenceConfig, without=rest, unset="0")
    add_flags(preference, PreferenceConfig, without=["weight"])


def choose(args: argparse.Namespace) -> Chosen:
    """What the options ask for.

    Raises:
        MergeMixError: If a value cannot be used, or an option has no effect beside the others.
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
    """Raises if something is given that has no effect, since what it belongs to is off."""
    for name in given:
        if name != master:
            wanted = f"none without {FLAGS[master]} {config.options()[master].metavar}"
            raise wrong(name, given[name], wanted)


def _destination(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")
