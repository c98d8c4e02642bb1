"""Knowledge distillation. Teachers are created pretrained: ours is small, random, and in a local folder."""

from __future__ import annotations

import shlex

from ..bench import Bench
from ..checks import MIX, STILL, apart, same, trains
from ..setting import setting

DISTILLED = "--model deit_tiny_distilled_patch16_224 --initial-checkpoint ''"


def _teacher(bench: Bench, kind: str) -> str:
    return f"--kd-model-name {shlex.quote(f'local-dir:{bench.assets.teacher}')} --kd-distill-type {kind}"


def _distillation(kind: str) -> None:
    @setting(
        f"--kd-distill-type {kind}",
        "trains; lr 1e-12: the teacher's term has its weight; --mergemix-prob 1e-9: losses equal bare's within 1e-6",
    )
    def check(bench: Bench) -> str:
        trains(bench, _teacher(bench, kind))
        still = f"{_teacher(bench, kind)} {STILL} --task-loss-weight 1.0 --distill-loss-weight"
        losses = [bench.hooked(f"{still} {weight} {MIX}").column("train_loss")[0] for weight in (0, 1, 2)]
        once, twice = losses[1] - losses[0], losses[2] - losses[0]
        assert once > 1e-3 and abs(twice - 2 * once) < 1e-5, f"training losses {losses}"
        plain = bench.hooked(f"{still} 1 --mergemix 1.0 --mergemix-prob 1e-9")
        return same(plain, bench.bare(f"{still} 1"), within=1e-6)


_distillation("logit")
_distillation("feature")


@setting("--kd-distill-type token", "trains a distilled DeiT, soft and hard; each has its loss")
def token(bench: Bench) -> None:
    flags = f"{DISTILLED} {_teacher(bench, 'token')}"
    soft, hard = (trains(bench, f"{flags} --kd-token-distill-type {kind}") for kind in ("soft", "hard"))
    apart(soft, hard)


@setting("--kd-distill-type logit --preference 0.5", "trains")
def with_preference(bench: Bench) -> None:
    trains(bench, _teacher(bench, "logit"), f"{MIX} --preference 0.5")
