"""Ctrl-C."""

from __future__ import annotations

from ...require import require
from ..bench import Bench
from ..flags import MIX, PAIRS
from ..run import Run
from ..setting import setting

LONG = "--epochs 300"
REACHED = r"Train: 1 \["


def _end(run: Run) -> tuple[int, bool, list[str]]:
    """Exit code, whether the results so far were printed, and the files that do not depend on the epoch."""
    files = [name for name in run.files if not name.startswith("checkpoint-")]
    return run.rc, "--result" in run.log, files


@setting("Ctrl-C")
def interrupted(bench: Bench) -> str:
    """Exit code, printed results and files as bare's; the last checkpoint can be read."""
    bare = bench.bare(LONG, interrupt=REACHED)
    for ours in (MIX, PAIRS):
        hooked = bench.hooked(f"{LONG} {ours}", interrupt=REACHED)
        require(_end(hooked) == _end(bare), f"{_end(hooked)}, wanted {_end(bare)}")
        require(len(hooked.rows) < 300, "was not interrupted")
        hooked.checkpoint()
    return f"exit code {bare.rc}"
