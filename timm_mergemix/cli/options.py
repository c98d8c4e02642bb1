"""Options that commands share, and how their values are read."""

from __future__ import annotations

import argparse
import ast
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import unusable, wrong
from .output import add_output

__all__ = [
    "HelpFormatter",
    "KeyValues",
    "add_common",
    "add_device",
    "add_model_kwargs",
    "again_with",
    "make_directory",
    "read_budget",
]


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults as they are typed, except for those that are empty and for switches that are off."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if isinstance(action.default, list) and action.default:
            return f"{action.help} (default: {' '.join(map(str, action.default))})"
        return action.help if action.default in (None, False, {}) else super()._get_help_string(action)


def add_common(parser: argparse.ArgumentParser) -> None:
    """Adds the options of every command that trains."""
    parser.add_argument("--seed", type=int, default=0, help="seed of all random numbers")
    add_device(parser)
    parser.add_argument("--fresh", action="store_true", help="start over instead of continuing a run in OUT")
    add_output(parser)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Adds the option of every command that runs a model."""
    parser.add_argument("--device", default="auto", help="cpu, cuda, ...; auto is a GPU if there is one")


def add_model_kwargs(parser: argparse.ArgumentParser) -> None:
    """Adds the option of every command that builds a model which may have been trained with such arguments."""
    help_text = "arguments of the model, such as depth=3"
    parser.add_argument("--model-kwargs", nargs="*", default={}, action=KeyValues, metavar="KEY=VALUE", help=help_text)


class KeyValues(argparse.Action):
    """Reads words of the form KEY=VALUE into a dictionary. A value that is not a Python literal is text."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, words: Any, option: str | None = None) -> None:
        """Stores the dictionary, or ends with an error of argparse's."""
        pairs = [word.partition("=") for word in words]
        if any(not key or not equals for key, equals, _ in pairs):
            raise argparse.ArgumentError(self, "wanted KEY=VALUE each")
        setattr(namespace, self.dest, {key: _literal(value) for key, _, value in pairs})


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def make_directory(path: Path) -> Path:
    """Creates the directory for the results.

    Raises:
        MergeMixError: If that is not possible.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unusable("out", f"{path} cannot be used as a directory: {error}") from error
    return path


def read_budget(text: str) -> dict[str, Any]:
    """Reads the budget of ``timm-mergemix tune`` and returns it as arguments of `tune_r`.

    Raises:
        MergeMixError: If it is neither a throughput nor a number of tokens.
    """
    try:
        return {"speedup": float(text[:-1])} if text.endswith("x") else {"tokens": int(text)}
    except ValueError:
        raise wrong("budget", text, "a throughput such as 2.0x, or a number of tokens such as 99") from None


def again_with(argv: Sequence[str], *, without: Sequence[str] = (), plus: Sequence[str] = ()) -> str:
    """Returns the command line that was given, without some flags and with others, ready for a shell."""
    kept = [argument for argument in argv if argument not in (*without, *plus)]
    return shlex.join([*kept, *plus])
