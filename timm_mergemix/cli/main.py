"""The entry point of the command line: finds the command and turns errors into exit codes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from ..errors import MergeMixError, need, suggest
from ..version import __version__
from .arguments import COMMANDS
from .options import HelpFormatter, again_with
from .run import BAD_INPUT, run_command

__all__ = ["build_parser", "main"]

SHELLS = ("bash", "zsh", "tcsh")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command, by default with the arguments of the process, and returns its exit code, see `run_command`.

    A command is the module of its name, with ``run(args)``. It is imported once its options have been parsed, because
    that takes seconds. There, AGAIN says by which flags the command that is to be typed after Ctrl-C differs from what
    was typed; where that command does not go on with what was done, GO_ON says so.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        args = _parse(argv)
    except MergeMixError as error:
        print(f"timm-mergemix: {error}", file=sys.stderr)
        return BAD_INPUT
    except SystemExit as stop:  # argparse has printed help or the error
        return BAD_INPUT if stop.code else 0
    command = import_module(f".{args.command}", __package__)
    again = again_with(argv, **getattr(command, "AGAIN", {}))
    return run_command(f"timm-mergemix {args.command}", command, args, f"timm-mergemix {again}")


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses a command line; what is unknown is an error of the command, which has the fitting usage."""
    parser, commands = _parsers()
    if not argv:
        parser.print_help(sys.stderr)
        parser.exit(BAD_INPUT)
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        command = commands[args.command]
        options = [name for action in command._actions for name in action.option_strings]
        hint = suggest(unknown[0].partition("=")[0], options)
        command.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
    return args


class _Completion(argparse.Action):
    """Prints the completion script and ends, as ``--version`` does."""

    def __call__(self, parser: argparse.ArgumentParser, *args: Any, **kwargs: Any) -> None:
        print(need("shtab", "completion", "completion").complete(parser, args[1]))
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """Builds the parser of all commands."""
    return _parsers()[0]


def _parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The parser of all commands, and those of the single ones by name."""
    parser = argparse.ArgumentParser(
        prog="timm-mergemix", description="Token merging and MergeMix for vision transformers."
    )
    parser.add_argument("--version", action="version", version=f"timm-mergemix {__version__}")
    parser.add_argument("--completion", choices=SHELLS, action=_Completion, help="print the shell's completion")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        summary = command.summary
        sub = commands.add_parser(name, help=summary, description=summary, formatter_class=HelpFormatter)
        command.add_arguments(sub)
    return parser, dict(commands.choices)
