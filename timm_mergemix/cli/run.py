"""Runs a command: errors become exit codes, and Ctrl-C says how to go on."""

from __future__ import annotations

import argparse
import sys
from types import ModuleType

from ..errors import MergeMixError, named
from ..training.progress import discard_output

__all__ = ["BAD_INPUT", "INTERRUPTED", "run_command"]

GO_ON = "Finished epochs are kept; continue with"
BAD_INPUT = 2
INTERRUPTED = 130


def run_command(name: str, command: ModuleType, args: argparse.Namespace, again: str) -> int:
    """Runs a command on its parsed arguments.

    Args:
        name: What the user called, for errors.
        command: Has ``run(args)``; maybe ``GO_ON``, what is kept after Ctrl-C; and maybe ``TYPED``, how arguments that
            an error names were typed, where that is not by the flag of their name.
        args: Its arguments.
        again: The command to type after Ctrl-C.

    Returns:
        0 for success, 2 for bad input, 130 after Ctrl-C.
    """
    typed = {name: "--" + name.replace("_", "-") for name in vars(args)} | getattr(command, "TYPED", {})
    try:
        with named(**typed):
            command.run(args)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of the result has seen enough; work before it goes on without one
        discard_output()
    except MergeMixError as error:
        print(f"{name}: {_said(error)}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print(f"\nInterrupted. {getattr(command, 'GO_ON', GO_ON)}: {again}", file=sys.stderr)
        return INTERRUPTED
    return 0


def _said(error: MergeMixError) -> str:
    """The message; of an error in a loader's worker, which torch hands on with a traceback, its last line."""
    message = str(error)
    return message.rpartition(f"{MergeMixError.__name__}: ")[2].strip() if message.startswith("Caught ") else message
