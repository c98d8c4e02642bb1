"""Mixing, beside timm's own mixing and losses."""

from __future__ import annotations

from ...require import require
from ..bench import Bench
from ..checks import EVAL, STILL, apart, same, says, trains
from ..flags import (
    BY_NAME,
    MIX,
    MIX_OPTIONS,
    MIXED,
    NEVER,
    PAIRS,
    PREFERENCE,
    PREFERENCE_OPTIONS,
    PREFERRED,
    RECIPE,
    RECIPE_SPELT,
    VALIDATED_UNMERGED,
    names,
)
from ..setting import setting


@setting(names(MIX_OPTIONS))
def options(bench: Bench) -> None:
    """Each changes the training loss at lr 1e-12."""
    default = bench.hooked(f"{STILL} {MIX}")
    for flags in MIX_OPTIONS:
        apart(bench.hooked(f"{STILL} {MIX} {flags}"), default, by=1e-6)


@setting(NEVER)
def never(bench: Bench) -> str:
    """At lr 1e-12: training loss equals bare's within 1e-6, with --smoothing 0 and 0.1."""
    notes = []
    for smoothing in ("--smoothing 0", "--smoothing 0.1"):
        hooked = bench.hooked(f"{STILL} {smoothing} {MIXED} {NEVER}")
        notes.append(same(hooked, bench.bare(f"{STILL} {smoothing}"), ["train_loss"], within=1e-6))
    return max(notes)


def _beside(name: str, flags: str) -> None:
    @setting(name)
    def check(bench: Bench) -> str:
        """Trains with a preference; lr 1e-12: training loss is not that of mergemix alone, validation bare's."""
        trains(bench, flags, PAIRS)
        hooked = bench.hooked(f"{STILL} {MIX} {VALIDATED_UNMERGED} {flags}")
        apart(hooked, bench.hooked(f"{STILL} {MIX} {VALIDATED_UNMERGED}"), by=1e-5)
        return same(hooked, bench.bare(STILL), EVAL, within=1e-7)


_beside("--mixup", "--mixup 0.8")
_beside("--cutmix", "--cutmix 1.0")
_beside("--mixup --cutmix", "--mixup 0.8 --cutmix 1.0")
_beside("--mixup-mode pair", "--mixup 0.8 --cutmix 1.0 --mixup-mode pair")
_beside("--mixup-mode elem", "--mixup 0.8 --cutmix 1.0 --mixup-mode elem")
_beside("--smoothing 0", "--smoothing 0")
_beside("--bce-loss", "--bce-loss")
_beside("--bce-loss --mixup", "--bce-loss --mixup 0.8")


@setting(RECIPE)
def recipe(bench: Bench) -> str:
    """At lr 1e-12: training loss is that of the flags it stands for, not bare's."""
    hooked = bench.hooked(f"{STILL} {RECIPE}")
    apart(hooked, bench.bare(STILL))
    return same(hooked, bench.hooked(f"{STILL} {RECIPE_SPELT}"), ["train_loss"])


@setting(BY_NAME)
def by_name(bench: Bench) -> str:
    """Trains with a preference; lr 1e-12: training loss is not bare's, validation is."""
    trains(bench, ours=f"{BY_NAME} {PREFERRED}")
    hooked, bare = bench.hooked(f"{STILL} {BY_NAME}"), bench.bare(STILL)
    apart(hooked, bare)
    return same(hooked, bare, EVAL, within=1e-7)


@setting("--bce-loss, value")
def bce(bench: Bench) -> str:
    """At lr 1e-12, where no batch is MergeMix: training loss is bare's within 1e-6, as where next to none is mixed."""
    off = f"{MIXED} {NEVER}"
    bare = bench.bare(f"{STILL} --bce-loss")
    same(bench.hooked(f"{STILL} --bce-loss {off}"), bare, ["train_loss"], within=1e-6)
    mixup = f"{STILL} --bce-loss --mixup 0.8 --mixup-prob"
    return same(bench.hooked(f"{mixup} 1e-9 {off}"), bench.bare(f"{mixup} 0"), ["train_loss"], within=1e-6)


@setting("--mixup-prob 1e-9")
def mixup_prob(bench: Bench) -> str:
    """At lr 1e-12, where no batch is MergeMix: training loss is that of bare's 0 within 1e-6; with 1 it is not."""
    flags = f"{STILL} --mixup 0.8 --mixup-prob"
    off = f"{MIXED} {NEVER}"
    apart(bench.hooked(f"{flags} 1 {off}"), bench.bare(STILL))
    return same(bench.hooked(f"{flags} 1e-9 {off}"), bench.bare(f"{flags} 0"), ["train_loss"], within=1e-6)


@setting("--mixup-switch-prob")
def switch_prob(bench: Bench) -> str:
    """At lr 1e-12, where no batch is MergeMix: 0 is not 1, and 1 is --cutmix alone."""
    off = f"{MIXED} {NEVER}"
    both = f"{STILL} {off} --mixup 0.8 --cutmix 1.0 --mixup-switch-prob"
    cutmix = bench.hooked(f"{both} 1")
    apart(cutmix, bench.hooked(f"{both} 0"))
    return same(cutmix, bench.hooked(f"{STILL} {off} --cutmix 1.0"), ["train_loss"], within=1e-6)


@setting("--mixup-off-epoch 1")
def off_epoch(bench: Bench) -> str:
    """At lr 1e-12: training loss of epoch 1 equals bare's without mixing within 1e-6, that of epoch 0 does not."""
    notes = []
    for ours in (MIXED, f"{MIXED} --mixup 0.8", f"{MIXED} {PREFERRED}"):
        hooked, bare = bench.hooked(f"{STILL} {ours} --mixup-off-epoch 1"), bench.bare(STILL)
        apart(hooked, bare)
        notes.append(same(hooked, bare, ["train_loss"], within=1e-6, epochs=slice(1, 2)))
    return max(notes)


@setting(PREFERRED)
def preference(bench: Bench) -> str:
    """Trains; lr 1e-12: validation is bare's, what it adds to the training loss is half of what 1 adds."""
    says(trains(bench, ours=PAIRS), "preference_accuracy")
    flags = f"{STILL} {MIX} {VALIDATED_UNMERGED}"
    losses = [bench.hooked(f"{flags} {PREFERENCE} {w}").column("train_loss")[0] for w in (0, 0.5, 1)]
    half, whole = losses[1] - losses[0], losses[2] - losses[0]
    require(half > 0.01 and abs(whole - 2 * half) < 1e-5, f"training losses {losses}")
    return same(bench.hooked(f"{flags} {PREFERRED}"), bench.bare(STILL), EVAL, within=1e-7)


@setting(names(PREFERENCE_OPTIONS))
def preference_options(bench: Bench) -> None:
    """Each changes the training loss at lr 1e-12."""
    default = bench.hooked(f"{STILL} {MIX} {VALIDATED_UNMERGED} {PREFERRED}")
    for flags in PREFERENCE_OPTIONS:
        apart(bench.hooked(f"{STILL} {MIX} {VALIDATED_UNMERGED} {PREFERRED} {flags}"), default, by=1e-5)


@setting(f"{PREFERENCE} with --mixup alone")
def preference_of_mixup(bench: Bench) -> None:
    """Trains, without MergeMix."""
    trains(bench, "--mixup 0.8", PREFERRED)
