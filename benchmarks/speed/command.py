"""``python -m benchmarks.speed``: measures the cost of merging and mixing side by side."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from timm_mergemix.cli.device import choose_device, cpu_threads
from timm_mergemix.cli.options import make_directory
from timm_mergemix.cli.output import Output, add_output
from timm_mergemix.cli.report import markdown_table, text_table, write_json
from timm_mergemix.config import typed
from timm_mergemix.errors import wrong
from timm_mergemix.files.lock import locked
from timm_mergemix.files.writing import write_file
from timm_mergemix.merge.schedule import TEXTS, read_r
from timm_mergemix.training.progress import Reporter

from ..records import Record
from .growth import Place, all_places, grow
from .heap import keep_freed_memory
from .measure import Result, measure, measure_memory
from .measured import Measured, load, points_in, results_in
from .plot import plot
from .report import HEADER, machine, rows_of
from .row import Comparison, describe, r_in_words
from .rows import all_rows
from .steps import Setting

__all__ = ["AGAIN", "GO_ON", "SUMMARY", "add_arguments", "run"]

AGAIN = {"plus": ["--resume"]}
SUMMARY = "Measure the cost of merging and mixing, compared with a lower bound and with timm."
GO_ON = "Finished rows are kept; continue with"
MEMORY = ("deit_small_patch16_224", 16, 0.65)
GROWTH = "deit_small_patch16_224"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    add = parser.add_argument
    add("--out", type=Path, default=Path("bench"), metavar="DIR", help="where records, table, JSON and plot go")
    add("--filter", default="", metavar="TEXT", help="only rows whose name contains TEXT")
    add("--rounds", type=int, default=15, help="minimum number of interleaved rounds per row")
    add("--seconds", type=float, default=20.0, help="minimum measured time per row in seconds")
    add("--r", type=typed(read_r), default="13", metavar="R", help=f"token merging: {TEXTS}")
    add(
        "--growth",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also measure how the cost grows with tokens and batch size",
    )
    add("--reference", type=Path, metavar="DIR", help="clone of facebookresearch/ToMe to measure as well")
    add("--device", default="auto", help="cpu, cuda, ...; auto is a GPU if there is one")
    add(
        "--keep-memory",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="on the CPU, let malloc keep what is freed, as other allocators do; else page faults blur small ratios",
    )
    add("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    add("--resume", action="store_true", help="keep the results of this machine that are already in OUT")
    add_output(parser)


def run(args: argparse.Namespace) -> None:
    """Measures, prints the table, and writes the table, JSON and plot."""
    device = choose_device(args.device)
    kept = args.keep_memory and keep_freed_memory()
    with cpu_threads(args.threads):
        _measure(args, device, {**machine(device), "freed memory kept": kept})


class _Job(NamedTuple):
    name: str
    comparisons: tuple[Comparison, ...]
    measure: Callable[[], list[Result]]


def _measure(args: argparse.Namespace, device: torch.device, facts: dict[str, Any]) -> None:
    out, output, r = make_directory(args.out), Output(args), r_in_words(args.r)
    results, growth = results_in(out), points_in(out)
    jobs = [job for job in _jobs(args, device) if args.filter in job.name]
    if not jobs:
        raise wrong("filter", args.filter, "part of a row's name")
    with locked(out / "results.json"):
        if not args.resume:
            results.path.unlink(missing_ok=True)
            growth.path.unlink(missing_ok=True)
        wanted = [((job.name, each.above, each.below, facts), job) for job in jobs for each in job.comparisons]
        results.run_missing(wanted, partial(_run, facts=facts, reporter=output.reporter))
        if args.growth and not args.filter:
            places = [((size, batch, r, facts), (size, batch)) for size, batch in all_places()]
            growth.run_missing(places, partial(_grow, args=args, device=device, facts=facts, reporter=output.reporter))
        _write(out, load(out, facts, r), output)


def _jobs(args: argparse.Namespace, device: torch.device) -> Iterator[_Job]:
    for row in all_rows(device, args.r, args.reference):
        yield _Job(row.name, row.comparisons, partial(measure, row, args.rounds, device, args.seconds))
    model, batch, wanted = MEMORY
    setting = Setting(model, batch, args.r, device=device)
    name = f"memory of a training step, {describe(setting)}"
    comparison = Comparison("merged", "unpatched", wanted)
    yield _Job(name, (comparison,), lambda: [measure_memory(name, setting, wanted)])


def _run(jobs: Sequence[_Job], facts: dict[str, Any], reporter: Reporter) -> Iterator[Record]:
    for job in jobs:
        reporter.say(job.name)
        yield from ({**result._asdict(), "machine": facts} for result in job.measure())


def _grow(
    places: Sequence[Place], args: argparse.Namespace, device: torch.device, facts: dict[str, Any], reporter: Reporter
) -> Iterator[Record]:
    for point in grow(GROWTH, args.r, device, rounds=5, places=places):
        yield {**point._asdict(), "machine": facts}
        reporter.say(f"growth, {point.tokens} tokens, batch {point.batch}")


def _write(out: Path, measured: Measured, output: Output) -> None:
    table = rows_of(measured.results)
    about = ", ".join(f"{name} {value}" for name, value in measured.machine.items())
    values = {
        "machine": measured.machine,
        "results": [result.as_dict() for result in measured.results],
        "growth": [point._asdict() for point in measured.points],
    }
    written = [
        write_file(out / "results.md", f"{about}\n\n{markdown_table(HEADER, table)}\n"),
        write_json(out / "results.json", values),
        plot(measured.results, measured.points, out / "results.png"),
    ]
    text = f"{text_table(HEADER, table)}\n\nWrote {', '.join(map(str, written))}."
    output.result(text, {**values, "written": written})
