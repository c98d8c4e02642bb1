"""No flags of the launcher, and token merging without mixing."""

from __future__ import annotations

import re

from ...require import CheckError, require
from ..bench import Bench
from ..checks import EVAL, STILL, apart, same, says, trains
from ..flags import (
    MERGE,
    MERGE_OPTIONS,
    MERGED,
    MIX,
    MIXED,
    NOTHING,
    VALIDATED_MERGED,
    VALIDATED_UNMERGED,
    names,
)
from ..setting import setting


@setting(NOTHING)
def nothing(bench: Bench) -> str:
    """The summary.csv equal to bare's, to the digit."""
    return same(bench.hooked(NOTHING), bench.bare())


@setting("no flags of ours, --mixup, --cutmix, --model-ema, augmentation")
def nothing_beside_mixup(bench: Bench) -> str:
    """The summary.csv equal to bare's, to the digit."""
    flags = "--mixup 0.8 --cutmix 1.0 --model-ema --model-ema-decay 0.5 --aa rand-m9-mstd0.5-inc1 --reprob 0.25"
    return same(bench.hooked(flags), bench.bare(flags))


@setting(MIX)
def plain(bench: Bench) -> None:
    """Trains; checkpoint keys, shapes and files equal bare's; training loss is not bare's."""
    trains(bench)


@setting("with timm's default augmentation")
def augmented(bench: Bench) -> None:
    """Trains; checkpoint equal bare's."""
    trains(bench, "--aa rand-m9-mstd0.5-inc1 --reprob 0.25 --drop-path 0.1")


@setting(f"lr 1e-12: {MIXED}")
def still_mixing(bench: Bench) -> str:
    """Validation losses equal bare's within 1e-7; training loss is not."""
    hooked, bare = bench.hooked(f"{STILL} {MIXED}"), bench.bare(STILL)
    apart(hooked, bare)
    return same(hooked, bare, EVAL, within=1e-7)


@setting(f"lr 1e-12: {VALIDATED_UNMERGED}")
def still_unmerged(bench: Bench) -> str:
    """Validation losses equal bare's within 1e-7, log says unmerged; training loss is not."""
    hooked, bare = bench.hooked(f"{STILL} {MIX} {VALIDATED_UNMERGED}"), bench.bare(STILL)
    says(hooked, "Validation runs unmerged")
    apart(hooked, bare)
    return same(hooked, bare, EVAL, within=1e-7)


@setting(f"lr 1e-12: {VALIDATED_MERGED}")
def still_merged(bench: Bench) -> str:
    """Validation losses are not bare's, log says merged; training loss as with --no-merge-eval."""
    hooked, bare = bench.hooked(f"{STILL} {MIX} {VALIDATED_MERGED}"), bench.bare(STILL)
    says(hooked, "Validation runs merged, r=2")
    change = abs(hooked.column("eval_loss")[0] - bare.column("eval_loss")[0])
    require(change > 1e-4, f"eval_loss differs from bare's by {change:.1e}")
    return same(hooked, bench.hooked(f"{STILL} {MIX} {VALIDATED_UNMERGED}"), ["train_loss"], within=1e-6)


@setting(f"{MERGED} alone")
def merge_only(bench: Bench) -> None:
    """Trains; checkpoint equal bare's; log says 17, 15, 13, 11 tokens."""
    says(trains(bench, ours=MERGED), "17, 15, 13, 11")


@setting(f"{MERGE} 4, decreasing:4, total:9, keep:0.5, 1,2,3")
def forms(bench: Bench) -> str:
    """Each trains; tokens in the log are those of the schedule."""
    tokens = {}
    for r in ("4", "decreasing:4", "total:9", "keep:0.5", "1,2,3"):
        hooked = trains(bench, ours=f"{MIXED} {MERGE} {r}")
        found = re.search(r"tokens (17(?:, \d+){3})", hooked.log)
        if found is None:
            raise CheckError(f"no tokens in the log for {r}")
        tokens[r] = [int(number) for number in found[1].split(", ")]
    require(tokens["4"] == [17, 13, 9, 5] and tokens["1,2,3"] == [17, 16, 14, 11], tokens)
    require(tokens["total:9"][-1] == 17 - 9 and tokens["decreasing:4"][-1] < 17, tokens)
    return f"last: {', '.join(f'{r} {counts[-1]}' for r, counts in tokens.items())}"


@setting(names(MERGE_OPTIONS))
def options(bench: Bench) -> None:
    """Each trains, and each changes the training loss."""
    default = bench.hooked(f"{STILL} {MERGE} 4")
    for flags in MERGE_OPTIONS:
        apart(bench.hooked(f"{STILL} {MERGE} 4 {flags}"), default, by=1e-5)
