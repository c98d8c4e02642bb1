"""Arguments as a training script parses them."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from timm_mergemix.launch.flags import add_merge_flags, add_mix_flags
from timm_mergemix.launch.recipe import fill

from .scripts.stand_in import make_parsers


def make_parser() -> ArgumentParser:
    parser = make_parsers()[1]
    add_merge_flags(parser, training=True)
    add_mix_flags(parser)
    return parser


def parse(*flags: str) -> Namespace:
    args = make_parser().parse_args(list(flags))
    args.rank = 0
    return args


def filled(*flags: str) -> Namespace:
    """With the settings of the recipe, as the hooks see them."""
    args = parse(*flags)
    fill(args)
    return args
