"""Options that commands share, and how their values are read."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from ..errors import check_int, unusable
from .output import add_output

__all__ = [
    "HelpFormatter",
    "add_common",
    "again_with",
    "choose_device",
    "cpu_threads",
    "make_directory",
]


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, where there is something to show."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in (None, False) else super()._get_help_string(action)


def add_common(parser: argparse.ArgumentParser) -> None:
    """Options of every command that trains."""
    parser.add_argument("--seed", type=int, default=0, help="all randomness follows it")
    parser.add_argument("--device", default="auto", help="cpu, cuda, ...; auto is a GPU where there is one")
    parser.add_argument("--fresh", action="store_true", help="start over instead of going on with a run in OUT")
    add_output(parser)


def choose_device(name: str, seed: int = 0) -> torch.device:
    """The device to train on.

    Raises:
        MergeMixError: If there is no such device, or the seed is negative or beyond 64 bits.
    """
    check_int("seed", seed, 0)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.ones(1, device=device).item()  # a device without memory, meta, has no values
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise unusable("device", f"{name!r} cannot be used: {str(error).splitlines()[0]}") from error
    return device


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Sets the number of CPU threads of torch for a while.

    Raises:
        MergeMixError: If ``count`` is no positive integer.
    """
    check_int("threads", count, 1)
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def make_directory(path: Path) -> Path:
    """Makes the directory for the results.

    Raises:
        MergeMixError: If that is not possible.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unusable("out", f"{path} cannot be used as a directory: {error}") from error
    return path


def again_with(argv: Sequence[str], *, without: Sequence[str] = (), plus: Sequence[str] = ()) -> str:
    """The command line that was given, less and plus some flags, ready to be pasted into a shell."""
    kept = [argument for argument in argv if argument not in (*without, *plus)]
    return shlex.join([*kept, *plus])
