"""The command line's entry: finds the command, turns errors into exit codes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from ..errors import MergeMixError
from ..optional import need
from ..training.progress import discard_output
from ..version import __version__
from . import bench, demo, launch, models, show, train
from .options import HelpFormatter

__all__ = ["COMMANDS", "main"]

# A command is a module with SUMMARY, add_arguments(parser), run(args), and again(argv): what to type after Ctrl-C.
# Where that does not go on with what was done, GO_ON says so.
COMMANDS: dict[str, ModuleType] = {
    "demo": demo,
    "train": train,
    "launch": launch,
    "show": show,
    "models": models,
    "bench": bench,
}
GO_ON = "Finished epochs are kept; go on with"

SHELLS = ("bash", "zsh", "tcsh")
BAD_INPUT = 2
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        argv: Arguments without the program's name; those of the process if None.

    Returns:
        0 for success, 2 for bad input, 130 after Ctrl-C.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        args = build_parser().parse_args(argv)
    except MergeMixError as error:
        print(f"timm-mergemix: {error}", file=sys.stderr)
        return BAD_INPUT
    except SystemExit as stop:  # argparse has printed help or the error
        return BAD_INPUT if stop.code else 0
    try:
        COMMANDS[args.command].run(args)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of the result has seen enough; work before it goes on without one
        discard_output()
    except MergeMixError as error:
        print(f"timm-mergemix {args.command}: {_said(error)}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        command = COMMANDS[args.command]
        go_on = getattr(command, "GO_ON", GO_ON)
        print(f"\nInterrupted. {go_on}: timm-mergemix {command.again(argv)}", file=sys.stderr)
        return INTERRUPTED
    return 0


def _said(error: MergeMixError) -> str:
    """The message; of an error in a loader's worker, which torch hands on with a traceback, its last line."""
    message = str(error)
    return message.rpartition(f"{MergeMixError.__name__}: ")[2].strip() if message.startswith("Caught ") else message


class _Completion(argparse.Action):
    """Prints the completion script and ends, as ``--version`` does."""

    def __call__(self, parser: argparse.ArgumentParser, *args: Any, **kwargs: Any) -> None:
        print(need("shtab", "completion", "completion").complete(parser, args[1]))
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="timm-mergemix", description="Token merging and MergeMix for vision transformers."
    )
    parser.add_argument("--version", action="version", version=f"timm-mergemix {__version__}")
    parser.add_argument("--completion", choices=SHELLS, action=_Completion, help="print the shell's completion")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        sub = commands.add_parser(name, help=module.SUMMARY, description=module.SUMMARY, formatter_class=HelpFormatter)
        module.add_arguments(sub)
    return parser
