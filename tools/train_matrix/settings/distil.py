"""Knowledge distillation. Teachers are always pretrained, so this one is small, random and in a local folder."""

from __future__ import annotations

import shlex

from ...require import require
from ..bench import Bench
from ..checks import STILL, apart, same, trains
from ..flags import MIX, MIXED, NEVER, PAIRS, PREFERRED
from ..setting import setting

DISTILLED = "--model deit_tiny_distilled_patch16_224 --initial-checkpoint ''"


def _teacher(bench: Bench, kind: str) -> str:
    return f"--kd-model-name {shlex.quote(f'local-dir:{bench.assets.teacher}')} --kd-distill-type {kind}"


def _distillation(kind: str) -> None:
    @setting(f"--kd-distill-type {kind}")
    def check(bench: Bench) -> str:
        """Trains; lr 1e-12: the teacher's term has its weight; without MergeMix, losses equal bare's within 1e-6."""
        trains(bench, _teacher(bench, kind))
        still = f"{_teacher(bench, kind)} {STILL} --task-loss-weight 1.0 --distill-loss-weight"
        losses = [bench.hooked(f"{still} {weight} {MIX}").column("train_loss")[0] for weight in (0, 1, 2)]
        once, twice = losses[1] - losses[0], losses[2] - losses[0]
        require(once > 1e-3 and abs(twice - 2 * once) < 1e-5, f"training losses {losses}")
        plain = bench.hooked(f"{still} 1 {MIXED} {NEVER}")
        return same(plain, bench.bare(f"{still} 1"), within=1e-6)


_distillation("logit")
_distillation("feature")


@setting("--kd-distill-type token")
def token(bench: Bench) -> None:
    """Trains a distilled DeiT, soft and hard; each has its loss."""
    flags = f"{DISTILLED} {_teacher(bench, 'token')}"
    soft, hard = (trains(bench, f"{flags} --kd-token-distill-type {kind}") for kind in ("soft", "hard"))
    apart(soft, hard)


@setting(f"--kd-distill-type logit {PREFERRED}")
def with_preference(bench: Bench) -> None:
    """Trains."""
    trains(bench, _teacher(bench, "logit"), PAIRS)
