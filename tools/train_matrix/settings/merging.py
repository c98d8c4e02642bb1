"""Nothing asked for, and token merging without mixing."""

from __future__ import annotations

import re

from ..bench import Bench
from ..checks import EVAL, MIX, STILL, apart, same, says, trains
from ..setting import setting


@setting("--mergemix 0 --merge-r 0", "summary.csv equal to bare's, to the digit")
def nothing(bench: Bench) -> str:
    return same(bench.hooked("--mergemix 0 --merge-r 0"), bench.bare())


@setting("no flags of ours, --mixup, --cutmix, --model-ema, augmentation", "summary.csv equal to bare's, to the digit")
def nothing_beside_mixup(bench: Bench) -> str:
    flags = "--mixup 0.8 --cutmix 1.0 --model-ema --model-ema-decay 0.5 --aa rand-m9-mstd0.5-inc1 --reprob 0.25"
    return same(bench.hooked(flags), bench.bare(flags))


@setting(MIX, "trains; checkpoint keys, shapes and files equal bare's; training loss is not bare's")
def plain(bench: Bench) -> None:
    trains(bench)


@setting("with timm's default augmentation", "trains; checkpoint equal bare's")
def augmented(bench: Bench) -> None:
    trains(bench, "--aa rand-m9-mstd0.5-inc1 --reprob 0.25 --drop-path 0.1")


@setting("lr 1e-12: --mergemix 1.0", "validation losses equal bare's within 1e-7; training loss is not")
def still_mixing(bench: Bench) -> str:
    hooked, bare = bench.hooked(f"{STILL} --mergemix 1.0"), bench.bare(STILL)
    apart(hooked, bare)
    return same(hooked, bare, EVAL, within=1e-7)


@setting(
    "lr 1e-12: --no-merge-eval", "validation losses equal bare's within 1e-7, log says unmerged; training loss is not"
)
def still_unmerged(bench: Bench) -> str:
    hooked, bare = bench.hooked(f"{STILL} {MIX} --no-merge-eval"), bench.bare(STILL)
    says(hooked, "Validation runs unmerged")
    apart(hooked, bare)
    return same(hooked, bare, EVAL, within=1e-7)


@setting(
    "lr 1e-12: --merge-eval", "validation losses are not bare's, log says merged; training loss as with --no-merge-eval"
)
def still_merged(bench: Bench) -> str:
    hooked, bare = bench.hooked(f"{STILL} {MIX} --merge-eval"), bench.bare(STILL)
    says(hooked, "Validation runs merged, r=2")
    change = abs(hooked.column("eval_loss")[0] - bare.column("eval_loss")[0])
    assert change > 1e-4, f"eval_loss differs from bare's by {change:.1e}"
    return same(hooked, bench.hooked(f"{STILL} {MIX} --no-merge-eval"), ["train_loss"], within=1e-6)


@setting("--merge-r 2 alone", "trains; checkpoint equal bare's; log says 17, 15, 13, 11 tokens")
def merge_only(bench: Bench) -> None:
    says(trains(bench, ours="--merge-r 2"), "17, 15, 13, 11")


@setting(
    "--merge-r 4, decreasing:4, total:9, keep:0.5, 1,2,3", "each trains; tokens in the log are those of the schedule"
)
def forms(bench: Bench) -> str:
    tokens = {}
    for r in ("4", "decreasing:4", "total:9", "keep:0.5", "1,2,3"):
        hooked = trains(bench, ours=f"--mergemix 1.0 --merge-r {r}")
        found = re.search(r"tokens (17(?:, \d+){3})", hooked.log)
        assert found, f"no tokens in the log for {r}"
        tokens[r] = [int(number) for number in found[1].split(", ")]
    assert tokens["4"] == [17, 13, 9, 5] and tokens["1,2,3"] == [17, 16, 14, 11], tokens
    assert tokens["total:9"][-1] == 17 - 9 and tokens["decreasing:4"][-1] < 17, tokens
    return f"last: {', '.join(f'{r} {counts[-1]}' for r, counts in tokens.items())}"


@setting("--no-merge-prop-attn, --merge-matching", "each trains, and each changes the training loss")
def options(bench: Bench) -> None:
    default = bench.hooked(f"{STILL} --merge-r 4")
    for flags in ("--no-merge-prop-attn", "--merge-matching random", "--merge-matching pitome"):
        apart(bench.hooked(f"{STILL} --merge-r 4 {flags}"), default, by=1e-5)
