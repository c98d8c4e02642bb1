"""How much faster models run for several values of r: the throughput over that of the unmerged model.

All values of r of a model run in turn on one thread, and what is measured is the time that the CPU spends on them, so
that other work on the machine disturbs little. A record for each model and r; what is there already is not run again.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import timm
import torch
from torch import nn

import timm_mergemix as mm
from benchmarks.command import main
from benchmarks.records import Record, Records
from benchmarks.speed.report import machine
from timm_mergemix.cli.device import cpu_threads
from timm_mergemix.cli.options import make_directory
from timm_mergemix.errors import check_int
from timm_mergemix.training.progress import Reporter
from timm_mergemix.tune.timing import ratio_of

__all__ = ["GO_ON", "SUMMARY", "Case", "add_arguments", "measure", "records_in", "run"]

SUMMARY = "Measure how much faster models run for several values of r."
GO_ON = "Finished models are kept; continue with"


class Case(NamedTuple):
    """A model that is timed.

    Attributes:
        model: A model of timm, with random weights.
        size: Side of its images in pixels.
        batch: Images per forward pass.
        rs: Tokens that merge per block.
    """

    model: str
    size: int
    batch: int
    rs: tuple[int, ...]


CASES = (
    Case("deit_tiny_patch16_224", 224, 16, (4, 8, 13, 16)),
    Case("deit_small_patch16_224", 224, 8, (4, 8, 13, 16)),
    Case("vit_base_patch16_224", 224, 4, (4, 8, 13, 16)),
    Case("vit_large_patch16_224", 224, 2, (4, 7, 8)),
    Case("vit_small_patch14_dinov2", 112, 32, (1, 2, 3, 4, 5)),
)


def records_in(path: Path) -> Records:
    """The records in a file."""
    return Records(path, ("model", "size", "batch", "r", "machine"), ("tokens", "speedup"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the program."""
    add = parser.add_argument
    add("--out", type=Path, default=Path("runs/choosing_r"), metavar="DIR", help="where records go")
    add("--rounds", type=int, default=5, help="interleaved rounds behind each throughput, two passes each")


def run(args: argparse.Namespace) -> None:
    """Measures what is missing."""
    check_int("rounds", args.rounds, 2)
    records = records_in(make_directory(args.out) / "choosing_r.jsonl")
    with cpu_threads(1):
        here = machine(torch.device("cpu"))
        wanted = [((case.model, case.size, case.batch, r, here), case) for case in CASES for r in case.rs]
        found = records.run_missing(wanted, partial(measure, rounds=args.rounds))
    print(f"{records.path} has {len(found)} records of this machine.")


def measure(cases: list[Case], rounds: int) -> Iterator[Record]:
    """A record for each r of each case."""
    here = machine(torch.device("cpu"))
    with Reporter().bar("models", len(cases), unit="model") as bar:
        for case in cases:
            for r, tokens, speedup in _timed(case, rounds):
                about = {"model": case.model, "size": case.size, "batch": case.batch, "r": r}
                yield {**about, "tokens": tokens, "speedup": speedup, "machine": here}
            bar.step()


def _timed(case: Case, rounds: int) -> Iterator[tuple[int, list[int], list[float]]]:
    model = mm.patch(timm.create_model(case.model, img_size=case.size).eval(), r=0)
    images = torch.randn(case.batch, 3, case.size, case.size)
    times: dict[int, list[float]] = {r: [] for r in (0, *case.rs)}
    for order in [list(times), list(times)[::-1]] * rounds:
        for r in order:
            times[r].append(_seconds(model, images, r))
    for r in case.rs:
        with mm.merging(model, r=r):
            tokens = mm.merge_info(model).tokens
        yield r, [tokens[0], tokens[-1]], list(ratio_of(times[0][2:], times[r][2:]))  # the first round warms up


@torch.inference_mode()
def _seconds(model: nn.Module, images: torch.Tensor, r: int) -> float:
    with mm.merging(model, r=r):
        start = time.process_time()
        model(images)
        return time.process_time() - start


if __name__ == "__main__":
    sys.exit(main(sys.modules[__name__]))
