"""Arguments as a training script parses them, and the requests that they are read as."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

import timm
from torch import nn

from timm_mergemix.launch.flags import add_merge_flags, add_mix_flags
from timm_mergemix.launch.parsing import Parsed, watch
from timm_mergemix.launch.reading import read_request, write_back
from timm_mergemix.launch.request import Request
from timm_mergemix.launch.run import Run

from .scripts.stand_in import make_parsers

TINY: dict[str, Any] = {"img_size": 32, "patch_size": 8, "depth": 3, "embed_dim": 48, "num_heads": 3}


def make_parser() -> ArgumentParser:
    parser = make_parsers()[1]
    add_merge_flags(parser, training=True)
    add_mix_flags(parser)
    return parser


def parse(*flags: str, **yaml: Any) -> Parsed:
    """What comes of flags, and of a YAML file with these keys; it may hold others than the script's."""
    found: list[Parsed] = []
    parser = make_parser()
    watch(parser, found.append)
    parser.set_defaults(**yaml)
    parser.parse_args(list(flags))
    return found[0]


def ask(*flags: str, **yaml: Any) -> Request:
    return read_request(parse(*flags, **yaml), training=True)


def running(request: Request, model: Any = None) -> Run:
    """A run of which that is asked."""
    run = Run(request.training, model)
    run.request = request
    return run


def in_force(*flags: str, **yaml: Any) -> Namespace:
    """The arguments as the script gets them."""
    parsed = parse(*flags, **yaml)
    write_back(parsed.args, read_request(parsed, training=True))
    return parsed.args


def tiny(**options: Any) -> nn.Module:
    return timm.create_model("vit_tiny_patch16_224", num_classes=4, **{**TINY, **options})
