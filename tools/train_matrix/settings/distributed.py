"""torchrun with two processes (gloo, CPU), through the adapter in ``cpu_ddp.py``."""

from __future__ import annotations

import shlex

from ...require import require
from ..bench import Bench
from ..checks import ALL, EVAL, STILL, apart, same, trains
from ..flags import MIX, NOTHING, PAIRS, VALIDATED_UNMERGED
from ..run import Run
from ..setting import setting

SMALL_BATCH = "-b 4"  # four steps an epoch in each of two processes
KILL_AT = 6  # the second step of epoch 1


def _resumed(bench: Bench, first: Run, flags: str, checkpoint: str) -> str:
    """Epoch 1 of a resumed run is that of an uninterrupted one."""
    whole = bench.hooked(flags, processes=2)
    path = shlex.quote(str(first.output / checkpoint))
    resumed = bench.hooked(f"{flags} --resume {path}", processes=2)
    require(resumed.column("epoch") == [1.0], f"epochs {resumed.column('epoch')}")
    largest = max(abs(whole.rows[1][name] - resumed.rows[0][name]) for name in ALL)
    require(largest <= 1e-6, f"{resumed.rows[0]}, wanted {whole.rows[1]}")
    return f"largest difference {largest:.1e}"


@setting(f"torchrun, {NOTHING}")
def nothing(bench: Bench) -> str:
    """2 processes: summary.csv equal to bare's, to the digit."""
    return same(bench.hooked(NOTHING, processes=2), bench.bare(processes=2))


@setting("torchrun")
def two(bench: Bench) -> str:
    """2 processes: trains, also with a preference; lr 1e-12: unmerged validation equals bare's."""
    trains(bench, processes=2)
    trains(bench, ours=PAIRS, processes=2)
    hooked = bench.hooked(f"{STILL} {MIX} {VALIDATED_UNMERGED}", processes=2)
    bare = bench.bare(STILL, processes=2)
    apart(hooked, bare)
    return same(hooked, bare, EVAL, within=1e-7)


@setting("torchrun, --grad-accum-steps 2 --model-ema --mixup")
def two_beside(bench: Bench) -> None:
    """2 processes: trains, also with a preference."""
    flags = "--grad-accum-steps 2 --model-ema --mixup 0.8 --clip-grad 1.0"
    trains(bench, flags, processes=2)
    trains(bench, flags, PAIRS, processes=2)


@setting("torchrun, --torchcompile eager")
def two_compiled(bench: Bench) -> str:
    """2 processes: trains; summary.csv as without within 1e-4."""
    compiled = trains(bench, "--torchcompile eager", processes=2)
    return same(compiled, bench.hooked(MIX, processes=2), within=1e-4)


@setting("torchrun, --resume")
def two_resumed(bench: Bench) -> str:
    """2 processes: epoch 1 resumed from checkpoint-0 equals that of the whole run within 1e-6, in all columns."""
    flags = f"{MIX} --mixup 0.8 --cutmix 1.0"
    return _resumed(bench, bench.hooked(flags, processes=2), flags, "checkpoint-0.pth.tar")


def _killed(bench: Bench, ours: str) -> str:
    flags = f"{SMALL_BATCH} {ours}"
    killed = bench.hooked(flags, processes=2, kill_at=KILL_AT)
    require(killed.rc != 0, "the run was not killed")
    require(killed.column("epoch") == [0.0], f"epochs {killed.column('epoch')} before the kill")
    require("Train: 1 [   0/4" in killed.log and "Train: 1 [   3/4" not in killed.log, "not killed in mid-epoch 1")
    return _resumed(bench, killed, flags, "last.pth.tar")


@setting("torchrun, killed")
def two_killed(bench: Bench) -> str:
    """2 processes, SIGKILL in mid-epoch 1, resumed from last: ends as the whole run within 1e-6, in all columns."""
    return max(_killed(bench, ours) for ours in (MIX, PAIRS))
