"""Progress bars and lines for people, while work is going on."""

from __future__ import annotations

import os
import sys
from typing import Any

from ..errors import installed, need

__all__ = ["Bar", "Reporter", "discard_output"]


class Bar:
    """What `Reporter.bar` returns: a context manager. This one shows nothing."""

    def step(self, **values: Any) -> None:
        """Says that one unit is done; ``values`` are shown beside the bar."""

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *error: object) -> None: ...


class _TqdmBar(Bar):
    def __init__(self, title: str, total: int, done: int, unit: str) -> None:
        tqdm = need("tqdm", "the progress bar").tqdm
        self.bar = tqdm(desc=title, total=total, initial=done, unit=unit, dynamic_ncols=True)

    def step(self, **values: Any) -> None:
        if values:
            self.bar.set_postfix(values, refresh=False)
        self.bar.update()

    def __exit__(self, *error: object) -> None:
        self.bar.close()


class Reporter:
    """Lines and progress bars.

    Args:
        quiet: No lines and no bars; results are still printed.
        progress: True shows bars, False does not; None shows them where standard error is a terminal.
    """

    def __init__(self, quiet: bool = False, progress: bool | None = None) -> None:
        self.quiet = quiet
        # Asked for, bars need tqdm; otherwise they are shown where that is possible.
        wanted = progress if progress is not None else sys.stderr.isatty() and installed("tqdm")
        self.bars = wanted and not quiet

    def say(self, line: str) -> None:
        """Prints a line, unless quiet. If the reader of standard output has left, the work goes on."""
        if not self.quiet:
            try:
                print(line, flush=True)
            except BrokenPipeError:
                discard_output()

    def bar(self, title: str, total: int, done: int = 0, unit: str = "batch") -> Bar:
        """A bar of ``total`` units of which ``done`` are done."""
        return _TqdmBar(title, total, done, unit) if self.bars else Bar()


def discard_output() -> None:
    """Discards standard output, with what Python has buffered, after its reader (such as `head`) has left."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
