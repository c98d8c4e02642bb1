"""The options of ``timm-mergemix train``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from timm.utils import ParseKwargs

from ..arguments import R_FORMS, parse_layer, parse_r
from ..errors import wrong
from ..mix.mergemix import RATIO_MODES, SELECTIONS
from ..mixers.recipes import RECIPES
from ..preference.loss import PAIR_LOSSES
from ..training.mixers import MixOptions, mixer_names, options_used
from ..training.objective import PreferenceOptions
from ..training.optim import Recipe
from .options import add_common

__all__ = ["add_arguments", "mixing_of", "preference_of", "recipe_of"]


class KeyValues(ParseKwargs):
    """timm's, with an error of argparse's for what is none."""

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().__call__(*args, **kwargs)
        except ValueError as error:
            raise argparse.ArgumentError(self, "wanted KEY=VALUE each") from error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    recipe = Recipe(epochs=100, warmup_epochs=5)
    add = parser.add_argument
    add("--data", type=Path, metavar="DIR", required=True, help="DIR/train and DIR/val, or DIR/CLASS, with images")
    add("--model", metavar="NAME", required=True, help="name of a timm model")
    add("--out", type=Path, metavar="DIR", help="where results go; runs/MODEL-MIXER if not given")
    add("--img-size", type=int, help="side of the images in pixels; the model's own if not given")
    add("--pretrained", action="store_true", help="begin with timm's weights")
    add("--weights", metavar="FILE", help="begin with those of a file, but for its head")
    add("--model-kwargs", nargs="*", default={}, action=KeyValues, metavar="KEY=VALUE", help="for the model")
    add("--epochs", type=int, default=recipe.epochs, help="length of the run, warm-up counted")
    add("--batch-size", type=int, default=64, help="images per step")
    add("--lr", type=float, default=recipe.lr, help="peak learning rate of AdamW")
    add("--min-lr", type=float, default=recipe.min_lr, help="learning rate at the end of the cosine")
    add("--weight-decay", type=float, default=recipe.weight_decay, help="weight decay")
    add("--warmup", type=int, default=recipe.warmup_epochs, metavar="EPOCHS", help="epochs of warm-up")
    add(
        "--clip-grad",
        type=float,
        default=recipe.clip_grad,
        metavar="NORM",
        help="limit of the gradient; 0: none",
    )
    add("--auto-augment", metavar="POLICY", help="timm's name of a policy, such as rand-m9-mstd0.5-inc1")
    add("--merge-r", type=parse_r, metavar="R", help=f"token merging in training and validation: {R_FORMS}")
    _add_mixing(parser)
    _add_preference(parser, PreferenceOptions())
    add("--amp", action="store_true", help="forward passes in bfloat16")
    add("--workers", type=int, default=2, help="processes that read images")
    add("--resume", action="store_true", help="go on with the run in OUT")
    add_common(parser)


def _add_mixing(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("mixing", "what is not given is the recipe's with --mixer mergemix").add_argument
    mixer_help = "how batches are mixed; timm is timm's Mixup and CutMix"
    add("--mixer", choices=mixer_names(), default="mergemix", help=mixer_help)
    recipe_help = "settings by kind of training; if not given, finetune where weights are, else scratch"
    add("--recipe", choices=tuple(RECIPES), help=recipe_help)
    add("--mergemix-alpha", type=float, help="lambda ~ Beta(alpha, alpha)")
    add("--mixup-alpha", type=float, help="likewise for Mixup")
    add("--cutmix-alpha", type=float, help="likewise for CutMix")
    add("--mix-prob", type=float, help="probability that a batch is mixed; 0.5 by the recipes, 1 with other mixers")
    add("--mergemix-prob", type=float, help="share of MergeMix among what --mixer mergemix mixes")
    add("--switch-prob", type=float, help="share of CutMix in Mixup and CutMix")
    add("--smoothing", type=float, default=MixOptions.smoothing, help="label smoothing")
    add(
        "--ratio-mode",
        choices=RATIO_MODES,
        help="mixing ratio of MergeMix: share of pixels, of attention, or noise",
    )
    add("--select", choices=SELECTIONS, help="whose saliency decides which patches are kept")
    add("--layer", type=parse_layer, metavar="N", help="block whose attention is read, or pool")
    add("--saliency-r", type=parse_r, metavar="R", help="token merging in MergeMix's saliency pass, as --merge-r")
    scale_help = "size of the images in that pass, as a share of theirs; 0.5 is the cheapest that is sensible"
    add("--saliency-scale", type=float, metavar="SHARE", help=scale_help)


def _add_preference(parser: argparse.ArgumentParser, defaults: PreferenceOptions) -> None:
    add = parser.add_argument_group("preference", "the clean image is preferred to its mix").add_argument
    add("--preference", type=float, default=defaults.weight, metavar="WEIGHT", help="weight of the term; 0: without it")
    add("--preference-beta", type=float, default=defaults.beta, metavar="BETA", help="scale of the reward")
    add("--preference-gamma", type=float, default=defaults.gamma, metavar="GAMMA", help="largest margin")
    add("--preference-variant", choices=PAIR_LOSSES, default=defaults.variant, help="loss of a pair")
    saliency_help = "whose attention makes the mix: the winner's training pass, or a pass of its own; else what fits"
    add("--preference-saliency", choices=("winner", "separate"), default=defaults.saliency, help=saliency_help)


def preference_of(args: argparse.Namespace) -> PreferenceOptions:
    """The preference that the options ask for.

    Raises:
        MergeMixError: If one has no effect, or is unknown.
    """
    if args.preference == 0:
        for name in ("beta", "gamma", "variant", "saliency"):
            value = getattr(args, f"preference_{name}")
            if value != getattr(PreferenceOptions(), name):
                raise wrong(f"preference_{name}", value, "none without --preference WEIGHT")
    return PreferenceOptions(
        weight=args.preference,
        beta=args.preference_beta,
        gamma=args.preference_gamma,
        variant=args.preference_variant,
        saliency=args.preference_saliency,
    )


def recipe_of(args: argparse.Namespace) -> Recipe:
    """The hyperparameters that the options ask for."""
    return Recipe(
        epochs=args.epochs,
        lr=args.lr,
        weight_decay=args.weight_decay,
        warmup_epochs=args.warmup,
        min_lr=args.min_lr,
        clip_grad=args.clip_grad or None,
        smoothing=args.smoothing,
    )


def mixing_of(args: argparse.Namespace) -> MixOptions:
    """The mixing that the options ask for.

    Raises:
        MergeMixError: If one has no effect on the mixer.
    """
    names = ("mergemix_alpha", "mixup_alpha", "cutmix_alpha", "mergemix_prob", "switch_prob", "smoothing")
    own = ("ratio_mode", "select", "layer", "saliency_r", "saliency_scale")
    given = {name: getattr(args, name) for name in (*names, *own)}
    given["prob"] = args.mix_prob
    if args.mixer == "mergemix":
        return MixOptions.of(args.recipe or ("finetune" if args.pretrained or args.weights else "scratch"), **given)
    if args.recipe is not None:
        raise wrong("recipe", args.recipe, f"none, since the mixer is {args.mixer}")
    given = {name: value for name, value in given.items() if value is not None}
    unused = next((name for name in given if name not in options_used(args.mixer)), None)
    if unused is not None:
        name = "mix_prob" if unused == "prob" else unused
        raise wrong(name, given[unused], f"none, since the mixer is {args.mixer}, which does not use it")
    return MixOptions(**given)
