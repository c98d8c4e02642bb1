"""How the programs here run: options, exit codes, and what to type to go on after Ctrl-C."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from types import ModuleType

from timm_mergemix.cli.options import HelpFormatter
from timm_mergemix.cli.run import run_command

__all__ = ["main"]


def main(command: ModuleType, argv: Sequence[str] | None = None) -> int:
    """Runs a program.

    Args:
        command: A module with SUMMARY, add_arguments(parser), run(args), and again(argv).
        argv: Its arguments; those of the process if None.

    Returns:
        0 for success, 2 for bad input, 130 after Ctrl-C.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    name = f"python -m {command.__name__.rpartition('.')[0]}"
    parser = argparse.ArgumentParser(prog=name, description=command.SUMMARY, formatter_class=HelpFormatter)
    command.add_arguments(parser)
    try:
        args = parser.parse_args(argv)
    except SystemExit as stop:  # argparse has printed help or the error
        return 2 if stop.code else 0
    return run_command(name, command, args, f"{name} {command.again(argv)}")
