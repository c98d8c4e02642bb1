"""``python -m benchmarks.speed``: what merging and mixing cost, side by side."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch

from timm_mergemix.arguments import R_FORMS, parse_r
from timm_mergemix.cli.options import again_with, choose_device, cpu_threads, make_directory
from timm_mergemix.cli.output import Output, add_output
from timm_mergemix.cli.report import markdown_table, text_table, write_json
from timm_mergemix.errors import wrong
from timm_mergemix.training.progress import Reporter
from timm_mergemix.tune.timing import Ratio

from .growth import Point, grow
from .heap import keep_freed_memory
from .measure import Result, measure, measure_memory
from .plot import plot
from .report import HEADER, machine, rows_of
from .rows import all_rows, describe
from .steps import Setting

__all__ = ["SUMMARY", "add_arguments", "again", "run"]

SUMMARY = "Measure what merging and mixing cost, against their floor and against timm."
MEMORY = ("deit_small_patch16_224", 16, 0.65)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add = parser.add_argument
    add("--out", type=Path, default=Path("bench"), metavar="DIR", help="where table, JSON and plot go")
    add("--filter", default="", metavar="TEXT", help="only rows whose name holds TEXT")
    add("--rounds", type=int, default=15, help="interleaved rounds of each row, at least")
    add("--seconds", type=float, default=20.0, help="time measured for each row, at least")
    add("--r", type=parse_r, default="13", metavar="R", help=f"token merging: {R_FORMS}")
    add(
        "--growth",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also how cost grows with tokens and batch",
    )
    add("--reference", type=Path, metavar="DIR", help="clone of facebookresearch/ToMe, to be measured beside")
    add("--device", default="auto", help="cpu, cuda, ...; auto is a GPU where there is one")
    add(
        "--keep-memory",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="on the CPU, let malloc keep what is freed, as other allocators do; else page faults blur small ratios",
    )
    add("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    add("--resume", action="store_true", help="keep the rows that OUT has already")
    add_output(parser)


def again(argv: Sequence[str]) -> str:
    """The command that goes on after an interruption."""
    return again_with(argv, plus=["--resume"])


def run(args: argparse.Namespace) -> None:
    """Measures, prints the table, and writes it with JSON and plot."""
    device = choose_device(args.device)
    kept = args.keep_memory and keep_freed_memory()
    with cpu_threads(args.threads):
        _bench(args, device, kept)


def _bench(args: argparse.Namespace, device: torch.device, kept: bool) -> None:
    out, output = make_directory(args.out), Output(args)
    reporter = output.reporter
    path, growth = out / "results.jsonl", out / "growth.jsonl"
    rows = [row for row in all_rows(device, args.r, args.reference) if args.filter in row.name]
    model, batch, wanted = MEMORY
    measured_model = Setting(model, batch, args.r, device=device)
    memory = f"memory of a training step, {describe(measured_model)}"
    if not rows and args.filter not in memory:
        raise wrong("filter", args.filter, "part of a row's name")
    if not args.resume:
        path.unlink(missing_ok=True)
        growth.unlink(missing_ok=True)
    setting = _machine_part(device)
    found = (Result(**{**line, "ratio": Ratio(*line["ratio"])}) for line in _load(path))
    results = [result for result in found if result.setting == setting]
    done = {result.row for result in results}
    for row in rows:
        if row.name not in done:
            reporter.say(row.name)
            results += _kept(path, measure(row, args.rounds, device, args.seconds), setting)
    if args.filter in memory and memory not in done:
        results += _kept(path, [measure_memory(memory, measured_model, wanted)], setting)
    points = _grow(args, device, growth, reporter) if args.growth and not args.filter else []
    _write(out, results, points, {**machine(device), "freed memory kept": kept}, output)


T = TypeVar("T", Result, Point)


def _machine_part(device: torch.device) -> str:
    return f"{device}, {torch.get_num_threads()} threads"


def _kept(path: Path, measured: Sequence[T], setting: str) -> list[T]:
    kept = [one._replace(setting=setting) for one in measured]
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(one._asdict()) + "\n" for one in kept)
    return kept


def _load(path: Path) -> list[dict[str, Any]]:
    """The lines of a file; one that was cut off is dropped."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    return [json.loads(line) for line in whole.splitlines()]


def _grow(args: argparse.Namespace, device: torch.device, path: Path, reporter: Reporter) -> list[Point]:
    setting = f"r={args.r}, {_machine_part(device)}"
    points = [point for point in (Point(**line) for line in _load(path)) if point.setting == setting]
    done = [(point.size, point.batch) for point in points]
    for point in grow("deit_small_patch16_224", args.r, device, rounds=5, done=done):
        points += _kept(path, [point], setting)
        reporter.say(f"growth, {point.tokens} tokens, batch {point.batch}")
    return points


def _write(out: Path, results: list[Result], points: list[Point], facts: dict[str, Any], output: Output) -> None:
    table = rows_of(results)
    about = ", ".join(f"{name} {value}" for name, value in facts.items())
    (out / "results.md").write_text(f"{about}\n\n{markdown_table(HEADER, table)}\n", encoding="utf-8")
    measured = {"machine": facts, "results": [r.as_dict() for r in results], "growth": [p._asdict() for p in points]}
    written = [
        out / "results.md",
        write_json(out / "results.json", measured),
        plot(results, points, out / "results.png"),
    ]
    text = f"{text_table(HEADER, table)}\n\nWrote {', '.join(map(str, written))}."
    output.result(text, {**measured, "written": written})
