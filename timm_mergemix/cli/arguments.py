"""The options of all commands. Nothing here imports torch or timm, so that help and typos are answered at once."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ..config import add_flags, typed
from ..merge.config import MergeConfig
from ..merge.schedule import TEXTS
from ..mix.config import RECIPES, MixConfig
from ..mixers.registry import list_mixers
from ..preference.config import PreferenceConfig
from ..saliency.config import SaliencyConfig
from ..training.methods import DemoSettings
from ..training.settings import Optimisation
from .options import add_common, add_device, add_model_kwargs, read_budget
from .output import add_output, add_progress

__all__ = ["COMMANDS", "PICTURES", "Declared", "add_demo"]

PICTURES = ("mix", "merge", "schedule", "reliability", "confidence", "curves")
IMAGES_HELP = (
    "images and directories of them; for curves, summary.csv of timm's train.py, our results.json, or the "
    "directory of a run that has one of them; "
    "for reliability and confidence, a directory with one subdirectory per class, and --checkpoint"
)


class Declared(NamedTuple):
    """What the parser knows about a command before the command is imported.

    Attributes:
        summary: One sentence for the list of commands and for the command's own help.
        add_arguments: Adds its options to a parser.
    """

    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]


def add_demo(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``demo``."""
    add = parser.add_argument
    found = "Debian's Fashion-MNIST, a download of it, or scikit-learn's digits"
    data_help = f"an image folder (DIR/train and DIR/val, or DIR/CLASS) or Fashion-MNIST's idx files; else {found}"
    add("--data", type=Path, metavar="DIR", help=data_help)
    add("--out", type=Path, metavar="DIR", default=Path("demo"), help="where results go")
    add("--train-size", type=int, default=2000, help="training images")
    add("--val-size", type=int, default=500, help="images for the learning curves, not trained on")
    add("--test-size", type=int, default=10000, help="maximum number of images for the final test")
    add_flags(parser, DemoSettings)
    weight = DemoSettings.preference
    preference_help = f"also train MergeMix with the preference of the clean image over its mix; weight {weight:g}"
    add("--preference", type=float, nargs="?", const=weight, metavar="WEIGHT", help=preference_help)
    questions = "instead train a small vision-language model on questions of easy-VQA, with and without the preference"
    add("--vlm", action="store_true", help=questions)
    add("--report", action="store_true", help="also write everything into one HTML page")
    # More threads make so small a model little faster, and many times slower where another program needs a core: idle
    # threads spin while they wait for the others.
    add("--threads", type=int, help="CPU threads; one by default, which is enough for so small a ViT; with --vlm all")
    add_common(parser)


def _add_train(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--data", type=Path, metavar="DIR", required=True, help="DIR/train and DIR/val, or DIR/CLASS, with images")
    add("--model", metavar="NAME", required=True, help="name of a timm model")
    add("--out", type=Path, metavar="DIR", help="where results go; runs/MODEL-MIXER if not given")
    add("--img-size", type=int, help="side of the images in pixels; the model's own if not given")
    add("--pretrained", action="store_true", help="begin with timm's weights")
    add("--weights", metavar="FILE", help="begin with the weights in a file, except those of its head")
    add_model_kwargs(parser)
    add("--batch-size", type=int, default=64, help="images per step")
    add("--auto-augment", metavar="POLICY", help="timm's name of a policy, such as rand-m9-mstd0.5-inc1")
    add("--amp", action="store_true", help="forward passes in bfloat16")
    add("--workers", type=int, default=2, help="processes that read images")
    add("--resume", action="store_true", help="continue the run in OUT")
    add_common(parser)
    add_flags(parser.add_argument_group("optimisation"), Optimisation)
    add_flags(parser.add_argument_group("token merging", "in training and validation"), MergeConfig)
    mixing = parser.add_argument_group("mixing", "a mixer takes only the options that concern it")
    mixer_help = "how batches are mixed; timm is timm's Mixup and CutMix"
    mixing.add_argument("--mixer", choices=("none", *list_mixers(), "timm"), default="mergemix", help=mixer_help)
    recipe_help = "settings of MergeMix by kind of training; by default finetune with pretrained weights, else scratch"
    mixing.add_argument("--mergemix-recipe", choices=tuple(RECIPES), help=recipe_help)
    add_flags(mixing, MixConfig, unset="the recipe's, or the mixer's")
    add_flags(mixing, SaliencyConfig)
    preference = parser.add_argument_group("preference", "the clean image is preferred to its mix")
    rest = [name for name in PreferenceConfig.options() if name != "weight"]
    add_flags(preference, PreferenceConfig, without=rest, unset="0")
    add_flags(preference, PreferenceConfig, without=["weight"])


def _add_launch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("script", type=Path, metavar="SCRIPT", help="path of timm's script")
    flags_help = "the script's flags and ours; SCRIPT --help lists them"
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help=flags_help)


def _add_show(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("images", nargs="+", type=Path, metavar="IMAGE", help=IMAGES_HELP)
    add("--model", default="deit_small_patch16_224", metavar="NAME", help="name of a timm model")
    add("--weights", type=Path, metavar="FILE", help="its pretrained weights; timm's if not given")
    add("--checkpoint", type=Path, metavar="FILE", help="a model trained on these classes, with its head")
    pretrained_help = "use pretrained weights instead of random ones"
    add("--pretrained", action=argparse.BooleanOptionalAction, default=True, help=pretrained_help)
    add("--img-size", type=int, metavar="PIXELS", help="side of the images; the model's own if not given")
    add_model_kwargs(parser)
    add("--r", default="keep:0.25", metavar="R", help=f"token merging: {TEXTS}")
    what_help = "which pictures; without the option, those that fit the input"
    add("--what", nargs="+", choices=PICTURES, help=what_help)
    add("--rows", type=int, default=6, help="maximum number of images in a grid")
    add("--count", type=int, default=500, help="maximum number of images for reliability and confidence")
    add("--format", nargs="+", choices=("png", "svg"), default=["png"], help="file formats of the pictures")
    add("--out", type=Path, default=Path("show"), metavar="DIR", help="where pictures go")
    add("--seed", type=int, default=0, help="seed of all random numbers")
    add_device(parser)
    add_output(parser)


def _add_models(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "timm_mergemix.supported(model) answers for a model of torchvision or transformers."
    parser.add_argument("--filter", metavar="PATTERN", help='only models of these names, such as "vit_*dinov3*"')
    parser.add_argument("--refused", action="store_true", help="list the models that cannot merge, with the reason")
    parser.add_argument("--json", action="store_true", help="one JSON object per line for each model, refused or not")
    add_progress(parser)


def _add_tune(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    budget_help = "throughput over that of the unmerged model, such as 2.0x; or tokens left, such as 99"
    add("budget", type=typed(read_budget), metavar="BUDGET", help=budget_help)
    add("--model", default="deit_small_patch16_224", metavar="NAME", help="a timm model")
    add("--pretrained", action="store_true", help="with timm's weights, so that the similarity means something")
    add("--weights", type=Path, metavar="FILE", help="pretrained weights in a file, except those of the head")
    checkpoint_help = "a model that was trained on the classes of --data, its head included"
    add("--checkpoint", type=Path, metavar="FILE", help=checkpoint_help)
    data_help = "images, or a directory with one subdirectory per class to get top-1 too; noise if not given"
    add("--data", type=Path, metavar="DIR", help=data_help)
    add("--count", type=int, default=200, help="maximum number of images of --data")
    add("--img-size", type=int, metavar="PIXELS", help="side of the images; the model's own if not given")
    add_model_kwargs(parser)
    add("--batch-size", type=int, default=8, help="images per step")
    add("--rounds", type=int, default=7, help="interleaved rounds behind each throughput")
    add("--seconds", type=float, default=120.0, help="time after which the search ends with what it has found")
    add_device(parser)
    add("--threads", type=int, help="CPU threads; all if not given")
    add_output(parser)


COMMANDS = {
    "demo": Declared(
        "Train a small ViT on real images with MergeMix and with timm's Mixup+CutMix; a table and pictures.", add_demo
    ),
    "train": Declared("Train a timm model on an image folder, with MergeMix or another way of mixing.", _add_train),
    "launch": Declared(
        "Run timm's train.py, validate.py or benchmark.py, unmodified, with token merging and MergeMix.", _add_launch
    ),
    "show": Declared(
        "Draw what a model makes of images: mixes, token merging by block, what it saves; or how training went.",
        _add_show,
    ),
    "models": Declared("List the timm models that can merge tokens, or those that cannot and why.", _add_models),
    "tune": Declared("Find the token merging that meets a throughput or a number of tokens.", _add_tune),
}
