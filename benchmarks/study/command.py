"""``python -m benchmarks.study``: methods x tasks x seeds, trained and measured alike."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import torch

from timm_mergemix.cli.options import again_with, choose_device, cpu_threads, make_directory
from timm_mergemix.cli.output import Output, add_output
from timm_mergemix.errors import unusable, wrong
from timm_mergemix.optional import installed
from timm_mergemix.tune.timing import Ratio

from .cost import equal_epochs, step_cost
from .methods import METHODS, find_method
from .picture import draw
from .places import Places
from .results import tables
from .search import all_combinations, drawn_combinations
from .sweep import read_records, sweep
from .tasks import TASKS, find_task
from .trial import RECIPE, Trial

__all__ = ["SUMMARY", "add_arguments", "again", "run"]

SUMMARY = "Train small models by several methods, alike in all else, and compare them."
WORDS = {"true": True, "false": False, "none": None}
METHODS_HELP = f"{', '.join(METHODS)}; the recipe is mergemix-mixup with --set prob=0.5"
SET_HELP = "options of the recipe, the mixer or the preference; a name that comes twice is tried with both values"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the comparison."""
    add = parser.add_argument
    add("--out", type=Path, default=Path("runs/study"), metavar="DIR", help="where records, tables and pictures go")
    add("--tasks", nargs="+", default=["fashion"], choices=tuple(TASKS), metavar="TASK", help=", ".join(TASKS))
    add("--methods", nargs="+", default=["none", "timm", "mergemix"], metavar="METHOD", help=METHODS_HELP)
    add("--seeds", nargs="+", type=int, default=[0], metavar="SEED", help="a trial each")
    add("--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE", help=SET_HELP)
    add(
        "--draw",
        type=int,
        metavar="N",
        help="try N balanced random combinations of those values and the seeds instead of all",
    )
    add("--test", action="store_true", help="read the test images at the end; choose settings without it")
    add("--equal-time", action="store_true", help="as many epochs as take the time of Mixup + CutMix, by step times")
    add("--jobs", type=int, default=1, help="trials at a time, each of one thread")
    add(
        "--weights",
        type=Path,
        metavar="FILE",
        help="pretrained weights for a task that fine-tunes; timm's if not given",
    )
    add("--data-dir", type=Path, metavar="DIR", help="images of a task of full size; downloads go there")
    add("--workers", type=int, default=4, help="processes that read images, in a task of full size")
    add("--report", action="store_true", help="train nothing, only write tables and picture of what is there")
    add("--device", default="auto", help="cpu, cuda, ...; auto is a GPU where there is one")
    add("--threads", type=int, default=torch.get_num_threads(), help="CPU threads of a single job")
    add_output(parser)


def again(argv: Sequence[str]) -> str:
    """The command that goes on after an interruption; finished trials are kept."""
    return again_with(argv)


def run(args: argparse.Namespace) -> None:
    """Trains what is not there yet, and writes records, tables and a picture to ``args.out``."""
    device = choose_device(args.device)
    with cpu_threads(args.threads):
        _run(args, device)


def _run(args: argparse.Namespace, device: torch.device) -> None:
    out, output = make_directory(args.out), Output(args)
    path = out / "trials.jsonl"
    if not args.report:
        places = Places(args.weights, args.data_dir, args.workers)
        sweep(_trials(args, device, out, places), path, device, output.reporter, args.jobs, places)
    records = read_records(path)
    if not records:
        raise unusable("out", f"{path} holds no trial, wanted at least one")
    written, shown = [path], []
    for split in ("val", "test"):
        if any(record["trial"]["test"] == (split == "test") for record in records):
            text = tables(records, split)
            shown.append(text)
            written.append(out / f"{split}.md")
            written[-1].write_text(text + "\n", encoding="utf-8")
            if installed("matplotlib"):
                written.append(out / f"{split}.png")
                draw(records, split).savefig(written[-1], dpi=110)
    text = "\n\n".join(["", *shown, f"Wrote {', '.join(map(str, written))}."])
    output.result(text, {"trials": records, "written": written})


def _trials(args: argparse.Namespace, device: torch.device, out: Path, places: Places) -> list[Trial]:
    choices = {"seed": args.seeds, **parse_options(args.set)}
    tried = all_combinations(choices) if args.draw is None else drawn_combinations(choices, args.draw)
    trials = []
    for task, options, method in product(args.tasks, tried, args.methods):
        if find_method(method).mixer is None:  # there is nothing to be set in a mixer
            options = {name: value for name, value in options.items() if name in RECIPE | {"seed"}}
        trial = _trial(task, method, options, args.test)
        if args.equal_time:
            epochs = options.get("epochs", find_task(task).recipe.epochs)
            threads = 1 if args.jobs > 1 else args.threads
            cost = _cost(replace(trial, seed=0), device, out / "costs.jsonl", threads, places)
            trial = _trial(task, method, {**options, "epochs": equal_epochs(trial, epochs, cost)}, args.test)
        trials.append(trial)
    return trials


def _trial(task: str, method: str, options: dict[str, Any], test: bool) -> Trial:
    own = {name: value for name, value in options.items() if name != "seed"}
    return Trial(task, method, options["seed"], tuple(sorted(own.items())), test)


def _cost(trial: Trial, device: torch.device, path: Path, threads: int, places: Places) -> Ratio:
    """Measured once for a directory, so that a comparison that goes on has the same epochs."""
    options = [[name, value] for name, value in trial.options if name != "epochs"]
    key = [trial.task, trial.method, options, str(device), threads]
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    for line in map(json.loads, lines):
        if line["key"] == key:
            return Ratio(*line["cost"])
    with cpu_threads(threads):
        cost = step_cost(trial, device, places=places)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"key": key, "cost": cost}) + "\n")
    return cost


def parse_options(given: list[str]) -> dict[str, list[Any]]:
    """``["lr=1e-3", "prob=0.5", "prob=1"]`` -> values of each name; what is no number or truth value is text.

    Raises:
        MergeMixError: If one has no name or no value, or would set the seed.
    """
    values: dict[str, list[Any]] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name or not equals or not value:
            raise wrong("set", text, "NAME=VALUE")
        if name == "seed":
            raise wrong("set", text, "--seeds instead")
        values.setdefault(name, []).append(_literal(value))
    return values


def _literal(text: str) -> Any:
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            pass
    return text
