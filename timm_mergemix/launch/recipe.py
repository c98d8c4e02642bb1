"""Flags of MergeMix that were not given become those of a recipe."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Collection
from typing import Any

from ..errors import check_choice, wrong
from ..mixers.recipes import RECIPES, find_recipe

__all__ = ["SHARED", "fill", "has_timm_mixup"]

SHARED = ("mergemix", "mixup", "mixup_prob")  # of which a recipe must know whether they were given

FLAGS = {
    "mergemix_ratio_mode": "ratio_mode",
    "mergemix_select": "select",
    "mergemix_layer": "layer",
    "mergemix_r": "saliency_r",
    "mergemix_scale": "saliency_scale",
}


def fill(args: Namespace, given: Collection[str] = ()) -> None:
    """Sets what is None, so that ``args.yaml`` says what was in force.

    ``--mergemix-recipe`` switches MergeMix on, with the recipe's Mixup beside it unless timm's flags ask for
    others; beside those it has the recipe's share. Without it, ``--mergemix`` takes the recipe for training from
    scratch, or with ``--pretrained`` the one for fine-tuning, and mixes alone unless timm's flags ask for more.

    Args:
        args: The script's arguments.
        given: Which of `SHARED` the command line gives; what a YAML file says may be what an earlier run was left with.

    Raises:
        MergeMixError: If there is no such recipe, or MergeMix is switched off beside one.
    """
    name = args.mergemix_recipe
    if name is not None:
        check_choice("--mergemix-recipe", name, tuple(RECIPES))
    if name is None and not args.mergemix:
        return
    recipe = find_recipe(name or ("finetune" if getattr(args, "pretrained", False) else "scratch"))
    if name is not None:
        _switch_on(args, recipe, given)
    if args.mergemix_prob is None:
        args.mergemix_prob = recipe["mergemix_prob" if has_timm_mixup(args) else "prob"]
    for flag, key in FLAGS.items():
        if getattr(args, flag) is None:
            setattr(args, flag, _plain(recipe[key]))


def has_timm_mixup(args: Namespace) -> bool:
    """Whether Mixup or CutMix is asked for by timm's own flags."""
    return args.mixup > 0 or args.cutmix > 0 or args.cutmix_minmax is not None


def _switch_on(args: Namespace, recipe: dict[str, Any], given: Collection[str]) -> None:
    if "mergemix" in given and args.mergemix == 0:
        raise wrong("--mergemix", args.mergemix, "a number > 0, or none, beside --mergemix-recipe")
    args.mergemix = args.mergemix or recipe["mergemix_alpha"]
    if "mixup" in given or has_timm_mixup(args) or recipe["mergemix_prob"] == 1:
        return
    args.mixup, args.cutmix = recipe["mixup_alpha"], recipe["cutmix_alpha"]
    args.mixup_switch_prob = recipe["switch_prob"]
    if args.mergemix_prob is None:
        args.mergemix_prob = recipe["prob"] * recipe["mergemix_prob"]
    own = args.mergemix_prob
    # The flag is about the batches that MergeMix leaves; 1 is timm's default.
    if args.mixup_prob == 1 and "mixup_prob" not in given and own < 1:
        args.mixup_prob = max(recipe["prob"] - own, 0) / (1 - own)


def _plain(value: Any) -> Any:
    """As YAML knows it."""
    return f"{value[0]}:{value[1]}" if isinstance(value, tuple) else value
