"""``timm-mergemix launch``: timm's own scripts with this library's flags."""

from __future__ import annotations

import argparse

from ..launch.script import run_script

__all__ = ["GO_ON", "TYPED", "run"]

TYPED = {"script": "script"}
GO_ON = "What the script had saved is kept; where it takes --resume CHECKPOINT, add that to"


def run(args: argparse.Namespace) -> None:
    """Runs the script."""
    run_script(args.script, args.arguments)
