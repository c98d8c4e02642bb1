"""Prints a Markdown table of the invariants of mixing that hold for the mixers of this library and of others.

Every mixer is checked by `timm_mergemix.testing.check_mixer` with its defaults. For each invariant that does not
hold, the smallest failing batch is shown. Mixers of packages that are not installed are left out.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

import timm
import timm.data
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import v2

import timm_mergemix as mm
from benchmarks.command import main
from timm_mergemix.cli.report import markdown_table
from timm_mergemix.errors import check_int, installed
from timm_mergemix.testing.mixers import mixing_failures
from timm_mergemix.testing.mixing import MIXING_INVARIANTS
from timm_mergemix.testing.properties import InvariantError

__all__ = ["PEERS", "SUMMARY", "add_arguments", "run"]

SUMMARY = "Check the invariants of mixing on the mixers of this library, timm, torchvision and kornia."
CLASSES = 5


class Kornia:
    """An adapter for kornia's mixers, which return labels as pairs of classes with a lambda.

    Args:
        mixer: A mixer with the data keys "input" and "class".
        own: Whether lambda is the share of the image itself; otherwise it is the share of its partner.
    """

    def __init__(self, mixer: Callable[[Tensor, Tensor], Any], own: bool) -> None:
        self.mixer = mixer
        self.own = own

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Returns images and targets (B, num_classes) that give the loss in kornia's documentation."""
        mixed, triples = self.mixer(images, labels)
        triples = triples.reshape(-1, 3)
        first, second = (F.one_hot(triples[:, k].long(), CLASSES).float() for k in range(2))
        share = triples[:, 2:].float() if self.own else 1 - triples[:, 2:].float()
        return mixed, share * first + (1 - share) * second


def _mergemix() -> mm.Mixer:
    torch.manual_seed(0)
    encoder = timm.create_model("test_vit", img_size=32, num_classes=CLASSES)
    return mm.MergeMix(encoder, CLASSES, mergemix_prob=1.0)


def _kornia_mixup() -> Kornia:
    return Kornia(import_module("kornia.augmentation").RandomMixUpV2(data_keys=["input", "class"]), own=False)


def _kornia_cutmix() -> Kornia:
    mixer = import_module("kornia.augmentation").RandomCutMixV2(data_keys=["input", "class"], use_correct_lambda=True)
    return Kornia(mixer, own=True)


PEERS: dict[str, Callable[[], Any]] = {
    "MergeMix": _mergemix,
    "Mixup": lambda: mm.create_mixer("mixup", num_classes=CLASSES),
    "CutMix": lambda: mm.create_mixer("cutmix", num_classes=CLASSES),
    "ResizeMix": lambda: mm.ResizeMix(num_classes=CLASSES),
    "timm Mixup": lambda: timm.data.Mixup(mixup_alpha=1.0, num_classes=CLASSES),
    "timm CutMix": lambda: timm.data.Mixup(mixup_alpha=0.0, cutmix_alpha=1.0, num_classes=CLASSES),
    'timm Mixup, mode="elem"': lambda: timm.data.Mixup(mixup_alpha=1.0, mode="elem", num_classes=CLASSES),
    "v2.MixUp": lambda: v2.MixUp(num_classes=CLASSES),
    "v2.CutMix": lambda: v2.CutMix(num_classes=CLASSES),
    "kornia RandomMixUpV2": _kornia_mixup,
    "kornia RandomCutMixV2": _kornia_cutmix,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the program."""
    parser.add_argument("--examples", type=int, default=50, metavar="N", help="batches per invariant")


def run(args: argparse.Namespace) -> None:
    """Checks all mixers that are installed, and prints the table and the failures."""
    check_int("examples", args.examples, 1)
    found: dict[str, dict[str, InvariantError]] = {}
    for name, make in PEERS.items():
        package = name.split()[0]
        if package == "kornia" and not installed(package):
            print(f"{name} is left out: {package} is not installed.", file=sys.stderr)
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            failures = list(mixing_failures(make(), CLASSES, examples=args.examples))
        found[name] = {failure.invariant: failure for failure in failures}
    print(table(found))
    print()
    print(failures_table(found))


def table(found: dict[str, dict[str, InvariantError]]) -> str:
    """A table with one row per invariant and one column per mixer."""
    rows = [
        [invariant, *("no" if invariant in failures else "yes" for failures in found.values())]
        for invariant in MIXING_INVARIANTS
    ]
    return markdown_table(["invariant", *found], rows)


def failures_table(found: dict[str, dict[str, InvariantError]]) -> str:
    """A table with one row per invariant that does not hold: what was found, and the smallest failing batch."""
    rows = [
        [name, failure.invariant, failure.reason, str(failure.case)]
        for name, failures in found.items()
        for failure in failures.values()
    ]
    return markdown_table(["mixer", "does not hold", "what was found", "smallest batch"], rows)


if __name__ == "__main__":
    sys.exit(main(sys.modules[__name__]))
