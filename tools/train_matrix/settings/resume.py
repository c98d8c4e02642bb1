"""Resuming in one process, where timm shuffles differently; `distributed` compares mixes in two processes."""

from __future__ import annotations

import shlex

from ...require import require
from ..bench import Bench
from ..checks import STILL, says
from ..flags import MIX, VALIDATED_UNMERGED
from ..run import Run
from ..setting import setting


def _from(run: Run) -> str:
    return f"--resume {shlex.quote(str(run.output / 'checkpoint-0.pth.tar'))}"


def _goes_on(resumed: Run, first: Run) -> str:
    """At lr 1e-12 the epoch after the checkpoint validates as the epoch before it did."""
    require(resumed.column("epoch") == [1], f"epochs {resumed.column('epoch')}")
    got, wanted = resumed.column("eval_loss")[0], first.column("eval_loss")[0]
    require(abs(got - wanted) <= 1e-6, f"eval_loss {got}, wanted {wanted}")
    return f"difference {abs(got - wanted):.1e}"


@setting("--resume, hooked -> hooked")
def hooked_to_hooked(bench: Bench) -> str:
    """Epoch 1 follows; lr 1e-12: validation as at the checkpoint; optimizer resumed as bare's."""
    for flags in ("", "--model-ema"):
        first = bench.hooked(f"{MIX} {flags}")
        resumed = bench.hooked(f"{MIX} {flags} {_from(first)}")
        require(resumed.column("epoch") == [1], f"epochs {resumed.column('epoch')}")
        require(resumed.column("lr") == first.column("lr")[1:], f"lr {resumed.column('lr')}")
    first = bench.hooked(MIX)
    return _goes_on(bench.hooked(f"{MIX} {STILL} --no-resume-opt {_from(first)}"), first)


@setting("--resume, hooked -> bare")
def hooked_to_bare(bench: Bench) -> str:
    """At lr 1e-12: validation as the hooked run's, unmerged, at the checkpoint."""
    first = bench.hooked(f"{MIX} {VALIDATED_UNMERGED}")
    bench.bare(_from(first))
    return _goes_on(bench.bare(f"{STILL} --no-resume-opt {_from(first)}"), first)


@setting("--resume, bare -> hooked")
def bare_to_hooked(bench: Bench) -> str:
    """At lr 1e-12: unmerged validation as the bare run's at the checkpoint."""
    first = bench.bare()
    says(bench.hooked(f"{MIX} {_from(first)}"), "loaded")
    return _goes_on(bench.hooked(f"{MIX} {VALIDATED_UNMERGED} {STILL} --no-resume-opt {_from(first)}"), first)


@setting("--start-epoch 1")
def start_epoch(bench: Bench) -> None:
    """Trains epoch 1 alone."""
    epochs = bench.hooked(f"{MIX} --start-epoch 1").column("epoch")
    require(epochs == [1], f"epochs {epochs}")
