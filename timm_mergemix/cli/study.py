"""``timm-mergemix bench --train``: methods x tasks x seeds, trained and measured alike."""

from __future__ import annotations

import argparse
import ast
from itertools import product
from pathlib import Path
from typing import Any

import torch

from ..errors import MergeMixError
from ..optional import installed
from ..report import write_json
from ..study.cost import equal_epochs, step_costs
from ..study.methods import METHODS
from ..study.places import Places
from ..study.results import draw, tables
from ..study.sweep import read_records, sweep
from ..study.tasks import TASKS, find_task
from ..study.trial import Trial
from ..training.progress import Reporter
from .options import make_directory

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the comparison."""
    add = parser.add_argument_group("training").add_argument
    add("--train", action="store_true", help="train small models by several methods instead, and compare them")
    add("--tasks", nargs="+", default=["fashion"], choices=tuple(TASKS), metavar="TASK", help=", ".join(TASKS))
    add("--methods", nargs="+", default=["none", "timm", "mergemix"], metavar="METHOD", help=", ".join(METHODS))
    add("--seeds", nargs="+", type=int, default=[0], metavar="SEED", help="a trial each")
    add("--set", nargs="+", default=[], metavar="NAME=VALUE", help="options of the recipe, the mixer or the preference")
    add("--test", action="store_true", help="read the test images at the end; choose settings without it")
    add("--equal-time", action="store_true", help="as many epochs as take the time of Mixup + CutMix, by step times")
    add("--jobs", type=int, default=1, help="trials at a time, each of one thread")
    add("--weights", type=Path, metavar="FILE", help="of the task that fine-tunes; timm's if not given")
    add("--data-dir", type=Path, metavar="DIR", help="images of a task of full size; downloads go there")
    add("--workers", type=int, default=4, help="processes that read images, in a task of full size")
    add("--report", action="store_true", help="train nothing, only write tables and picture of what is there")


def run(args: argparse.Namespace, device: torch.device) -> None:
    """Trains what is not there yet, and writes records, tables and a picture to ``args.out``."""
    out, reporter = make_directory(args.out), Reporter(progress=args.progress)
    path = out / "trials.jsonl"
    if not args.report:
        places = Places(args.weights, args.data_dir, args.workers)
        sweep(_trials(args, device, out, places), path, device, reporter, args.jobs, places)
    records = read_records(path)
    if not records:
        raise MergeMixError(f"out: {path} holds no trial, wanted at least one")
    written = [path]
    for split in ("val", "test"):
        if any(record["trial"]["test"] == (split == "test") for record in records):
            text = tables(records, split)
            print(f"\n{text}\n")
            written.append(out / f"{split}.md")
            written[-1].write_text(text + "\n", encoding="utf-8")
            if installed("matplotlib"):
                written.append(out / f"{split}.png")
                draw(records, split).savefig(written[-1], dpi=110)
    print(f"Wrote {', '.join(map(str, written))}.")


def _trials(args: argparse.Namespace, device: torch.device, out: Path, places: Places) -> list[Trial]:
    options = parse_options(args.set)
    trials = []
    for task in args.tasks:
        epochs = options.get("epochs", find_task(task).recipe.epochs)
        chosen = tuple(sorted(options.items()))
        costs = step_costs(task, args.methods, device, options=chosen, places=places) if args.equal_time else {}
        if costs:
            write_json(out / f"costs-{task}.json", costs)
        for seed, method in product(args.seeds, args.methods):
            longer = {"epochs": equal_epochs(epochs, costs[method])} if costs else {}
            trials.append(Trial(task, method, seed, tuple(sorted({**options, **longer}.items())), args.test))
    return trials


def parse_options(given: list[str]) -> dict[str, Any]:
    """``["lr=1e-3", "saliency_r=keep:0.5"]`` as names and values; what is no Python literal is text.

    Raises:
        MergeMixError: If one has no name or no value.
    """
    options = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name or not equals or not value:
            raise MergeMixError(f"set: got {text!r}, wanted NAME=VALUE")
        try:
            options[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            options[name] = value
    return options
