"""Beside timm's own mixing and losses."""

from __future__ import annotations

from ..bench import Bench
from ..checks import EVAL, MIX, STILL, apart, same, says, trains
from ..setting import setting

PAIRS = f"{MIX} --preference 0.5"


@setting(
    "--mergemix-ratio-mode, --mergemix-select, --mergemix-layer, --mergemix-r, --mergemix-prob",
    "each changes the training loss at lr 1e-12",
)
def options(bench: Bench) -> None:
    default = bench.hooked(f"{STILL} {MIX}")
    for flags in (
        "--mergemix-ratio-mode attention",
        "--mergemix-ratio-mode gaussian",
        "--mergemix-select both",
        "--mergemix-layer 0",
        "--mergemix-r 1",
        "--mergemix-prob 1.0",
    ):
        apart(bench.hooked(f"{STILL} {MIX} {flags}"), default, by=1e-6)


@setting("--mergemix-prob 1e-9", "lr 1e-12: training loss equals bare's within 1e-6, with --smoothing 0 and 0.1")
def never(bench: Bench) -> str:
    notes = []
    for smoothing in ("--smoothing 0", "--smoothing 0.1"):
        hooked = bench.hooked(f"{STILL} {smoothing} --mergemix 1.0 --mergemix-prob 1e-9")
        notes.append(same(hooked, bench.bare(f"{STILL} {smoothing}"), ["train_loss"], within=1e-6))
    return max(notes)


def _beside(name: str, flags: str) -> None:
    @setting(
        name,
        "trains with --preference 0.5; lr 1e-12: training loss is not that of mergemix alone, validation bare's",
    )
    def check(bench: Bench) -> str:
        trains(bench, flags, PAIRS)
        hooked = bench.hooked(f"{STILL} {MIX} --no-merge-eval {flags}")
        apart(hooked, bench.hooked(f"{STILL} {MIX} --no-merge-eval"), by=1e-5)
        return same(hooked, bench.bare(STILL), EVAL, within=1e-7)


_beside("--mixup", "--mixup 0.8")
_beside("--cutmix", "--cutmix 1.0")
_beside("--mixup --cutmix", "--mixup 0.8 --cutmix 1.0")
_beside("--mixup-mode pair", "--mixup 0.8 --cutmix 1.0 --mixup-mode pair")
_beside("--mixup-mode elem", "--mixup 0.8 --cutmix 1.0 --mixup-mode elem")
_beside("--smoothing 0", "--smoothing 0")
_beside("--bce-loss", "--bce-loss")
_beside("--bce-loss --mixup", "--bce-loss --mixup 0.8")


@setting("--mergemix-recipe scratch", "lr 1e-12: training loss is that of the flags it stands for, not bare's")
def recipe(bench: Bench) -> str:
    hooked = bench.hooked(f"{STILL} --mergemix-recipe scratch")
    apart(hooked, bench.bare(STILL))
    spelt = f"--mergemix 1.0 --mergemix-prob 0.25 --mixup 0.8 --mixup-prob {1 / 3}"
    return same(hooked, bench.hooked(f"{STILL} {spelt}"), ["train_loss"])


@setting("--mixer resizemix", "trains with --preference 0.5; lr 1e-12: training loss is not bare's, validation is")
def by_name(bench: Bench) -> str:
    trains(bench, "--mixer resizemix", "--preference 0.5")
    hooked, bare = bench.hooked(f"{STILL} --mixer resizemix"), bench.bare(STILL)
    apart(hooked, bare)
    return same(hooked, bare, EVAL, within=1e-7)


@setting(
    "--bce-loss, value",
    "lr 1e-12, --mergemix-prob 1e-9: training loss equals bare's within 1e-6, with --mixup-prob 0 too",
)
def bce(bench: Bench) -> str:
    off = "--mergemix 1.0 --mergemix-prob 1e-9"
    bare = bench.bare(f"{STILL} --bce-loss")
    same(bench.hooked(f"{STILL} --bce-loss {off}"), bare, ["train_loss"], within=1e-6)
    mixup = "--bce-loss --mixup 0.8 --mixup-prob 0"
    return same(bench.hooked(f"{STILL} {mixup} {off}"), bench.bare(f"{STILL} {mixup}"), ["train_loss"], within=1e-6)


@setting(
    "--mixup-prob 0",
    "lr 1e-12, --mergemix-prob 1e-9: training loss equals bare's within 1e-6; with --mixup-prob 1 it does not",
)
def mixup_prob(bench: Bench) -> str:
    flags = f"{STILL} --mixup 0.8 --mixup-prob"
    off = "--mergemix 1.0 --mergemix-prob 1e-9"
    apart(bench.hooked(f"{flags} 1 {off}"), bench.bare(STILL))
    return same(bench.hooked(f"{flags} 0 {off}"), bench.bare(f"{flags} 0"), ["train_loss"], within=1e-6)


@setting("--mixup-switch-prob", "lr 1e-12, --mergemix-prob 1e-9: 0 is not 1, and 1 is --cutmix alone")
def switch_prob(bench: Bench) -> str:
    off = "--mergemix 1.0 --mergemix-prob 1e-9"
    both = f"{STILL} {off} --mixup 0.8 --cutmix 1.0 --mixup-switch-prob"
    cutmix = bench.hooked(f"{both} 1")
    apart(cutmix, bench.hooked(f"{both} 0"))
    return same(cutmix, bench.hooked(f"{STILL} {off} --cutmix 1.0"), ["train_loss"], within=1e-6)


@setting(
    "--mixup-off-epoch 1",
    "lr 1e-12: training loss of epoch 1 equals bare's without mixing within 1e-6, that of epoch 0 does not",
)
def off_epoch(bench: Bench) -> str:
    notes = []
    for ours in ("--mergemix 1.0", "--mergemix 1.0 --mixup 0.8", "--mergemix 1.0 --preference 0.5"):
        hooked, bare = bench.hooked(f"{STILL} {ours} --mixup-off-epoch 1"), bench.bare(STILL)
        apart(hooked, bare)
        notes.append(same(hooked, bare, ["train_loss"], within=1e-6, epochs=slice(1, 2)))
    return max(notes)


@setting(
    "--preference 0.5",
    "trains; lr 1e-12: validation is bare's, what it adds to the training loss is half of what 1 adds",
)
def preference(bench: Bench) -> str:
    says(trains(bench, ours=PAIRS), "preference_accuracy")
    flags = f"{STILL} {MIX} --no-merge-eval"
    losses = [bench.hooked(f"{flags} --preference {w}").column("train_loss")[0] for w in (0, 0.5, 1)]
    half, whole = losses[1] - losses[0], losses[2] - losses[0]
    assert half > 0.01 and abs(whole - 2 * half) < 1e-5, f"training losses {losses}"
    return same(bench.hooked(f"{flags} --preference 0.5"), bench.bare(STILL), EVAL, within=1e-7)


@setting("--preference-beta, -gamma, -variant", "each changes the training loss at lr 1e-12")
def preference_options(bench: Bench) -> None:
    default = bench.hooked(f"{STILL} {MIX} --no-merge-eval --preference 0.5")
    for flags in ("--preference-beta 2", "--preference-gamma 0.5", "--preference-variant hinge"):
        apart(bench.hooked(f"{STILL} {MIX} --no-merge-eval --preference 0.5 {flags}"), default, by=1e-5)


@setting("--preference with --mixup alone", "trains, --mergemix 0")
def preference_of_mixup(bench: Bench) -> None:
    trains(bench, "--mixup 0.8", "--preference 0.5")
