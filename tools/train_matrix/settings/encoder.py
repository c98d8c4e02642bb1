"""Another model's attention."""

from __future__ import annotations

import shlex

from ..bench import Bench
from ..checks import EVAL, STILL, apart, same, trains
from ..data import ENCODER
from ..setting import setting

RESNET = "--model test_resnet --model-kwargs --initial-checkpoint ''"


def _ours(bench: Bench, which: int = 0) -> str:
    path = shlex.quote(str(bench.assets.encoders[which]))
    return f"--mergemix 1.0 --mergemix-encoder {ENCODER} --mergemix-encoder-checkpoint {path}"


@setting(
    "--mergemix-encoder, -checkpoint",
    "trains; lr 1e-12: loss depends on the encoder's weights; validation equals bare's",
)
def encoder(bench: Bench) -> str:
    trains(bench, ours=f"{_ours(bench)} --merge-r 2")
    first, second = (bench.hooked(f"{STILL} {_ours(bench, which)}") for which in (0, 1))
    apart(first, second, by=1e-6)
    apart(first, bench.hooked(f"{STILL} --mergemix 1.0"), by=1e-6)
    return same(first, bench.bare(STILL), EVAL, within=1e-7)


@setting("--mergemix-encoder with a ResNet", "trains, also with --preference 0.5; checkpoint equal bare's")
def resnet(bench: Bench) -> None:
    trains(bench, RESNET, _ours(bench))
    trains(bench, RESNET, f"{_ours(bench)} --preference 0.5")


@setting("--mergemix-encoder, --amp bfloat16, --model-ema, --torchcompile eager", "trains")
def encoder_beside(bench: Bench) -> None:
    trains(bench, "--amp --amp-dtype bfloat16 --model-ema --torchcompile eager", _ours(bench))
