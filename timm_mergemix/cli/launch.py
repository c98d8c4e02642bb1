"""``timm-mergemix launch``: timm's own scripts with this library's flags."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..launch.script import run_script

__all__ = ["GO_ON", "SUMMARY", "TYPED", "add_arguments", "run"]

SUMMARY = "Run timm's train.py, validate.py or benchmark.py, unmodified, with token merging and MergeMix."
TYPED = {"script": "script"}
GO_ON = "What the script had saved is kept; where it takes --resume CHECKPOINT, add that to"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("script", type=Path, metavar="SCRIPT", help="path of timm's script")
    flags_help = "the script's flags and ours; SCRIPT --help lists them"
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help=flags_help)


def run(args: argparse.Namespace) -> None:
    """Runs the script."""
    run_script(args.script, args.arguments)
