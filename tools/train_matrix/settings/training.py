"""Flags for how the script trains. Most of them must not change the results."""

from __future__ import annotations

import re

from ...require import require
from ..bench import Bench
from ..checks import ALL, STILL, apart, same, same_weights, says, trains
from ..flags import MIX, MIXED, NEVER, PAIRS, PREFERRED
from ..setting import setting


def _neutral(flags: str, within: float) -> None:
    def check(bench: Bench) -> str:
        notes = [same(trains(bench, flags, ours), bench.hooked(ours), ALL, within) for ours in (MIX, PAIRS)]
        return max(notes)

    check.__doc__ = f"Trains; summary.csv as without it within {within:g}, also with {PREFERRED}."
    setting(flags)(check)


_neutral("--no-prefetcher", 1e-4)
_neutral("--channels-last", 1e-4)
_neutral("--grad-checkpointing", 1e-4)
_neutral("--torchcompile eager", 1e-4)
_neutral("--torchcompile aot_eager", 1e-4)
_neutral("--clip-grad 1000", 1e-6)


@setting("--no-prefetcher --mixup")
def no_prefetcher_mixup(bench: Bench) -> str:
    """Trains; summary.csv as with the prefetcher within 1e-4."""
    return same(trains(bench, "--no-prefetcher --mixup 0.8"), bench.hooked(f"--mixup 0.8 {MIX}"), ALL, 1e-4)


@setting("--torchcompile, recompilations")
def recompiles(bench: Bench) -> str:
    """Mixing alone: no more than bare; with merging: no more than twice bare's and two."""
    flags = "--torchcompile eager --epochs 3"
    bare = _recompiled(bench.bare(flags, recompiles=True).log)
    mixing = _recompiled(bench.hooked(f"{flags} {MIXED}", recompiles=True).log)
    merging = _recompiled(bench.hooked(f"{flags} {MIX}", recompiles=True).log)
    note = f"bare {bare}, mixing {mixing}, merging {merging}"
    require(mixing <= bare and merging <= 2 * bare + 2, note)
    return note


@setting("--clip-grad 1e-9")
def clipped(bench: Bench) -> str:
    """Validation as at lr 0: gradients of the mix are clipped."""
    flags = "--clip-grad 1e-9 --weight-decay 0"
    return same(trains(bench, flags), bench.hooked(f"{STILL} {MIX}"), ["eval_loss"], within=1e-5)


@setting("--amp --amp-dtype bfloat16")
def amp(bench: Bench) -> str:
    """Trains, also with a preference; losses of float32 within 0.05, not equal."""
    flags = "--amp --amp-dtype bfloat16"
    for ours in (PAIRS, MIX):
        hooked = trains(bench, flags, ours)
        apart(hooked, bench.hooked(ours), by=0)
        note = same(hooked, bench.hooked(ours), ["train_loss", "eval_loss"], within=0.05)
    return note


@setting("--model-dtype bfloat16")
def model_dtype(bench: Bench) -> str:
    """Trains, also with a preference; checkpoint is bfloat16; losses of float32 within 0.1."""
    trains(bench, "--model-dtype bfloat16", PAIRS)
    return same(trains(bench, "--model-dtype bfloat16"), bench.hooked(MIX), ["train_loss", "eval_loss"], within=0.1)


@setting("--model-ema")
def ema(bench: Bench) -> str:
    """Trains, state_dict_ema as bare's, EMA validated; training losses and weights as without within 1e-6."""
    hooked = trains(bench, "--model-ema --model-ema-decay 0.5")
    require(hooked.checkpoint().get("state_dict_ema"), "no state_dict_ema")
    says(hooked, "Validation (EMA) runs merged")
    require(hooked.column("eval_loss") != bench.hooked(MIX).column("eval_loss"), "eval_loss is not the EMA's")
    same_weights(hooked, bench.hooked(MIX), within=1e-6)
    trains(bench, "--model-ema --torchcompile eager")
    return same(hooked, bench.hooked(MIX), ["train_loss"], within=1e-6)


@setting("--grad-accum-steps 2")
def accumulation(bench: Bench) -> str:
    """Trains, also with a preference; bare's updates per epoch; lr 1e-12: losses as without within 1e-6."""
    trains(bench, "--grad-accum-steps 2", PAIRS)
    hooked = trains(bench, "--grad-accum-steps 2")
    updates = [re.findall(r"Train: \d+ \[ *\d+/\d+", run.log) for run in (hooked, bench.bare("--grad-accum-steps 2"))]
    require(updates[0] == updates[1], f"{updates[0]}, wanted {updates[1]}")
    return same(bench.hooked(f"{STILL} {MIX} --grad-accum-steps 2"), bench.hooked(f"{STILL} {MIX}"), within=1e-6)


@setting("--train-img-sizes 32 48")
def sizes(bench: Bench) -> str:
    """Trains, also with a preference; lr 1e-12, where no batch is MergeMix: losses equal bare's within 1e-6."""
    kwargs = "--model-kwargs img_size=32 patch_size=8 depth=3 embed_dim=48 num_heads=3 dynamic_img_size=True"
    flags = f"{kwargs} --train-img-sizes 32 48"
    trains(bench, flags)
    trains(bench, f"{flags} --variable-batch-loss-scale linear", PAIRS)
    hooked = bench.hooked(f"{flags} {STILL} {MIXED} {NEVER}")
    return same(hooked, bench.bare(f"{flags} {STILL}"), within=1e-6)


@setting("--use-multi-epochs-loader")
def loaders(bench: Bench) -> None:
    """Trains."""
    trains(bench, "--use-multi-epochs-loader")


def _recompiled(log: str) -> int:
    return len(re.findall(r"Recompiling function", log))
