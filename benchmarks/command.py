"""Runs the programs in this folder: options, exit codes, and the command that resumes after Ctrl-C."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from timm_mergemix.cli.options import HelpFormatter, again_with
from timm_mergemix.cli.run import run_command

__all__ = ["build_parser", "find_command", "main"]


def main(command: ModuleType, argv: Sequence[str] | None = None) -> int:
    """Runs a program.

    Args:
        command: A module with SUMMARY, add_arguments(parser), run(args) and optionally AGAIN and GO_ON, like those of
            `timm_mergemix.cli.main`.
        argv: The arguments; None takes those of the process.

    Returns:
        0 for success, 2 for bad input, 130 after Ctrl-C.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = build_parser(command)
    try:
        args = parser.parse_args(argv)
    except SystemExit as stop:  # argparse has printed help or the error
        return 2 if stop.code else 0
    again = again_with(argv, **getattr(command, "AGAIN", {}))
    return run_command(parser.prog, command, args, f"{parser.prog} {again}".rstrip())


def build_parser(command: ModuleType) -> argparse.ArgumentParser:
    """Returns the parser of a program's arguments; ``command`` is a module as in `main`."""
    name = command.__spec__.name if command.__spec__ else command.__name__  # a module that is run is called __main__
    prog = f"python -m {name.removesuffix('.command')}"
    parser = argparse.ArgumentParser(prog=prog, description=command.SUMMARY, formatter_class=HelpFormatter)
    command.add_arguments(parser)
    return parser


def find_command(name: str) -> ModuleType:
    """Returns the module that ``python -m NAME`` runs.

    Args:
        name: Name of the program, such as ``"benchmarks.study"``.

    Raises:
        ModuleNotFoundError: If there is no such program.
    """
    spec = find_spec(name)
    package = spec is not None and spec.submodule_search_locations is not None
    return import_module(f"{name}.command" if package else name)
