"""``timm-mergemix bench``: what merging and mixing cost, side by side; or the r that meets a budget."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import timm
import torch

from ..arguments import R_FORMS, parse_r
from ..bench.growth import Point, grow
from ..bench.heap import keep_freed_memory
from ..bench.measure import Result, measure, measure_memory
from ..bench.plot import plot
from ..bench.report import HEADER, machine, rows_of
from ..bench.rows import all_rows, describe
from ..bench.steps import Setting
from ..bench.timing import Ratio
from ..errors import MergeMixError
from ..merge.support import check_name
from ..report import markdown_table, text_table, write_json
from ..training.progress import Reporter
from ..tune import tune_r
from . import study
from .options import again_with, choose_device, cpu_threads, make_directory
from .output import Output, add_output

__all__ = ["SUMMARY", "add_arguments", "again", "run"]

SUMMARY = "Measure merging and mixing; find the r that meets a budget (--tune); compare ways to train (--train)."
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
    tune = parser.add_argument_group("tuning").add_argument
    tune("--tune", action="store_true", help="find the r that meets a budget instead")
    tune("--model", default="deit_small_patch16_224", metavar="NAME", help="a timm model, with random weights")
    tune("--pretrained", action="store_true", help="with timm's weights, so that the similarity means something")
    tune("--img-size", type=int, metavar="PIXELS", help="side of the images; the model's own if not given")
    tune("--batch-size", type=int, default=8, help="images a step")
    tune("--target", metavar="BUDGET", help="throughput over that of the unmerged model, such as 2.0x; or 99 (tokens)")

    study.add_arguments(parser)


def again(argv: Sequence[str]) -> str:
    """The command that goes on after an interruption."""
    return again_with(argv, plus=["--resume"])


def run(args: argparse.Namespace) -> None:
    """Measures, prints the table, writes it with JSON and plot; or tunes."""
    device = choose_device(args.device)
    kept = args.keep_memory and keep_freed_memory()
    with cpu_threads(args.threads):
        if args.tune:
            _tune(args, device)
        elif args.train:
            study.run(args, device)
        else:
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
        raise MergeMixError(f"filter: got {args.filter!r}, wanted part of a row's name")
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


def _tune(args: argparse.Namespace, device: torch.device) -> None:
    budget = _budget(args.target)
    size = {} if args.img_size is None else {"img_size": args.img_size}
    check_name("model", args.model)
    try:
        model = timm.create_model(args.model, pretrained=args.pretrained, **size).to(device)
        tuned = tune_r(model, **budget, batch_size=args.batch_size, rounds=args.rounds)
    except MergeMixError:
        raise
    except Exception as error:  # whatever a hub or a model raises, for instance for a size that it does not take
        reason = f"{type(error).__name__}: {error}"
        raise MergeMixError(f"model: {args.model} cannot be built, or does not run: {reason}") from error
    header = ("r", "throughput", "tokens left", "similarity of features")
    rows = [[str(t.r), f"{t.speedup:.2f}x", str(t.tokens[-1]), f"{t.similarity:.3f}"] for t in tuned]
    note = "" if args.pretrained else "\nThe similarity is that of random weights; --pretrained gives the model's own."
    Output(args).result(text_table(header, rows) + note, [t._asdict() for t in tuned])


def _budget(target: str | None) -> dict[str, Any]:
    try:
        if target is not None:
            return {"speedup": float(target[:-1])} if target.endswith("x") else {"tokens": int(target)}
    except ValueError:
        pass
    raise MergeMixError(f"target: got {target!r}, wanted a throughput such as 2.0x, or a number of tokens such as 99")
