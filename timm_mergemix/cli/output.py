"""What a command prints: progress and a result, for people or for programs."""

from __future__ import annotations

import argparse
from typing import Any

from ..training.progress import Reporter
from .report import to_json

__all__ = ["Output", "add_output"]


def add_output(parser: argparse.ArgumentParser) -> None:
    """Adds the options of every command that prints a result."""
    add = parser.add_argument
    add("--quiet", action="store_true", help="print the results and nothing else")
    add("--json", action="store_true", help="print the results as one JSON document and nothing else")
    add_progress(parser)


def add_progress(parser: argparse.ArgumentParser) -> None:
    """Adds the option of every command that takes long."""
    help_text = "progress bars; without the option, where standard error is a terminal"
    parser.add_argument("--progress", action=argparse.BooleanOptionalAction, help=help_text)


class Output:
    """Prints as the options of `add_output` ask for. Its ``reporter`` shows progress lines and bars."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._json, self._quiet = args.json, args.quiet
        self.reporter = Reporter(args.quiet or args.json, args.progress)

    def result(self, text: str, data: Any) -> None:
        """Prints the result: text for people, or plain values for programs."""
        text = text.lstrip("\n") if self._quiet else text  # a line that is left free after what --quiet leaves out
        print(to_json(data) if self._json else text, flush=True)
