"""``timm-mergemix demo``: a small ViT from scratch, with MergeMix and with timm's Mixup and CutMix."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..config import given_flags
from ..errors import need
from ..files.lock import locked
from ..training.compare import Outcome, train_method
from ..training.methods import METHODS, PREFERENCE, DemoSettings, Method
from ..training.sources import DemoData, draw_splits, find_source
from .arguments import add_demo
from .demo_pictures import draw_demo
from .demo_vlm import run_vlm
from .device import choose_device, cpu_threads
from .options import make_directory
from .output import Output
from .pictures import report_page, write_results
from .report import markdown_table, text_table, to_json

__all__ = ["AGAIN", "run"]

AGAIN = {"without": ["--fresh"]}
HEADER = ("method", "top-1", "calibration error", "preference accuracy", "seconds per epoch", "patch tokens kept")
RESULTS = "docs/results.md"
CAUTION = (
    "One seed and so short a training do not rank the methods: in longer trials with three seeds MergeMix was no\n"
    f"better than the best of the others, see {RESULTS}."
)


def run(args: argparse.Namespace) -> None:
    """Trains, tests, writes pictures and prints the table."""
    if args.vlm:
        parser = argparse.ArgumentParser()
        add_demo(parser)
        run_vlm(args, parser.parse_args([]))
        return
    with cpu_threads(1 if args.threads is None else args.threads):
        _run(args)


def _run(args: argparse.Namespace) -> None:
    start = time.perf_counter()
    output = Output(args)
    reporter = output.reporter
    need("matplotlib.figure", "drawing", "demo")  # rather now than after the training
    given = {**given_flags(args, DemoSettings), "seed": args.seed}
    if args.preference is not None:
        given["preference"] = args.preference
    settings = DemoSettings(**given)
    methods = METHODS if args.preference is None else (*METHODS, PREFERENCE)
    device = choose_device(args.device)
    source = find_source(args.data, reporter.say)
    data = draw_splits(source, args.train_size, args.val_size, args.test_size, args.seed)
    out = make_directory(args.out)
    data_line = _describe(data)
    reporter.say(data_line)
    with locked(out / "results.json"):
        outcomes = [train_method(method, data, settings, out, device, reporter, args.fresh) for method in methods]
        rows, used = _rows(outcomes), _in_force(settings, methods)
        notes, results = _notes(settings), _results(outcomes, data_line, used)
        pictures = draw_demo(outcomes, data, settings.seed, device)
        texts = {"results.json": to_json(results) + "\n", "results.md": f"{markdown_table(HEADER, rows)}\n\n{notes}\n"}
        if args.report:
            title, said = "MergeMix: a demonstration", (data_line, notes)
            texts["report.html"] = report_page(title, pictures, (HEADER, rows), said, used, _links(out))
        written = write_results(pictures, texts, out)
    head = f"{data_line}\n" if args.quiet else ""
    wrote = f"Wrote {', '.join(map(str, written))} in {time.perf_counter() - start:.0f} s."
    output.result(f"{head}\n{text_table(HEADER, rows)}\n\n{notes}\n{wrote}", {**results, "written": written})


def _links(out: Path) -> dict[str, str]:
    """Where a report in ``out`` finds the page of results; only a clone of the repository has it."""
    page = Path(__file__).parents[2] / RESULTS
    if not page.is_file() or page.drive != out.resolve().drive:
        return {}
    return {RESULTS: Path(os.path.relpath(page, out)).as_posix()}


def _describe(data: DemoData) -> str:
    source = data.source
    sizes = f"{len(data.train):,} training, {len(data.val):,} validation and {len(data.test):,} test images"
    return f"Data: {source.name} ({source.origin}): {sizes}, {len(source.classes)} classes."


def _rows(outcomes: Sequence[Outcome]) -> list[list[str]]:
    return [
        [
            outcome.method.title,
            f"{100 * outcome.test.top1:.1f} %",
            f"{outcome.test.calibration_error:.3f}",
            f"{100 * outcome.pairs.accuracy:.1f} %",
            f"{outcome.seconds_per_epoch:.1f}",
            outcome.tokens,
        ]
        for outcome in outcomes
    ]


def _notes(settings: DemoSettings) -> str:
    return (
        "All figures are of unmixed test images after the last epoch. Calibration error has 15 bins.\n"
        f"{CAUTION}\n"
        "Half of the batches are mixed: by MergeMix or Mixup, drawn for each batch, or by timm's Mixup or CutMix.\n"
        "Preference accuracy: how often the model finds the class of a test image more probable for the image than\n"
        f"for its CutMix mix. With MergeMix the model merges {settings.r} tokens in each block, in training and test.\n"
        "Seconds are those of training in the median epoch. They include MergeMix's saliency passes. Merging saves\n"
        "time, but little in so small a model."
    )


def _in_force(settings: DemoSettings, methods: Sequence[Method]) -> dict[str, Any]:
    """The settings that had an effect: without a method that has a preference, its weight has none."""
    prefers = any(method.preference for method in methods)
    return {name: value for name, value in asdict(settings).items() if prefers or name != "preference"}


def _results(outcomes: Sequence[Outcome], data_line: str, settings: dict[str, Any]) -> dict[str, Any]:
    methods = {
        outcome.method.name: {
            "title": outcome.method.title,
            "top1": outcome.test.top1,
            "calibration_error": outcome.test.calibration_error,
            "test_loss": outcome.test.loss,
            "pairs": asdict(outcome.pairs),
            "seconds_per_epoch": outcome.seconds_per_epoch,
            "patch_tokens_kept": outcome.tokens,
            "history": outcome.history,
        }
        for outcome in outcomes
    }
    return {"data": data_line, "settings": settings, "methods": methods}
