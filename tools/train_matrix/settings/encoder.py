"""Saliency from the attention of another model."""

from __future__ import annotations

import shlex

from ..bench import Bench
from ..checks import EVAL, STILL, apart, same, trains
from ..data import ENCODER_MODEL
from ..flags import ENCODER, ENCODER_WEIGHTS, MERGED, MIXED, PREFERRED, names
from ..setting import setting

RESNET = "--model test_resnet --model-kwargs --initial-checkpoint ''"


def _ours(bench: Bench, which: int = 0) -> str:
    path = shlex.quote(str(bench.assets.encoders[which]))
    return f"{MIXED} {ENCODER} {ENCODER_MODEL} {ENCODER_WEIGHTS} {path}"


@setting(names((ENCODER, ENCODER_WEIGHTS)))
def encoder(bench: Bench) -> str:
    """Trains; lr 1e-12: loss depends on the encoder's weights; validation equals bare's."""
    trains(bench, ours=f"{_ours(bench)} {MERGED}")
    first, second = (bench.hooked(f"{STILL} {_ours(bench, which)}") for which in (0, 1))
    apart(first, second, by=1e-6)
    apart(first, bench.hooked(f"{STILL} {MIXED}"), by=1e-6)
    return same(first, bench.bare(STILL), EVAL, within=1e-7)


@setting(f"{ENCODER} with a ResNet")
def resnet(bench: Bench) -> None:
    """Trains, also with a preference; checkpoint equal bare's."""
    trains(bench, RESNET, _ours(bench))
    trains(bench, RESNET, f"{_ours(bench)} {PREFERRED}")


@setting(f"{ENCODER}, --amp bfloat16, --model-ema, --torchcompile eager")
def encoder_beside(bench: Bench) -> None:
    """Trains."""
    trains(bench, "--amp --amp-dtype bfloat16 --model-ema --torchcompile eager", _ours(bench))
