"""``python -m benchmarks.study``: trains and measures methods on tasks and seeds, all in the same way."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import torch

from timm_mergemix.cli.device import choose_device, cpu_threads
from timm_mergemix.cli.options import make_directory
from timm_mergemix.cli.output import Output, add_output
from timm_mergemix.cli.pictures import save_figure
from timm_mergemix.errors import installed, unusable, wrong
from timm_mergemix.files.writing import write_file
from timm_mergemix.mix.config import MixConfig
from timm_mergemix.mixers.registry import list_mixers, takes
from timm_mergemix.saliency.config import SaliencyConfig

from .arms import ARMS, find_arm
from .cost import equal_epochs, recorded_cost
from .curves import draw_curves
from .options import parse_options
from .picture import draw
from .places import Places
from .results import tables
from .search import all_combinations, drawn_combinations
from .sweep import sweep, trials_in
from .tasks import TASKS, find_task
from .trial import OPTIMISATION, PREFERENCE, Trial

__all__ = ["GO_ON", "SUMMARY", "add_arguments", "run"]

SUMMARY = "Train small models by several methods with everything else equal, and compare them."
GO_ON = "Finished trials are kept, an unfinished one continues from its last epoch; continue with"
METHODS_HELP = f"{', '.join(ARMS)}; MergeMix's recipe is mergemix-mixup with --set prob=0.5"
SET_HELP = "options of optimisation, mixer or preference; if a name is given twice, both values are tried"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the comparison."""
    add = parser.add_argument
    add("--out", type=Path, default=Path("runs/study"), metavar="DIR", help="where records, tables and pictures go")
    add("--tasks", nargs="+", default=["fashion"], choices=tuple(TASKS), metavar="TASK", help=", ".join(TASKS))
    add("--methods", nargs="+", default=["none", "timm", "mergemix"], metavar="METHOD", help=METHODS_HELP)
    add("--seeds", nargs="+", type=int, default=[0], metavar="SEED", help="seeds; one trial each")
    add("--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE", help=SET_HELP)
    add(
        "--draw",
        type=int,
        metavar="N",
        help="try N balanced random combinations of these values and seeds instead of all",
    )
    add("--test", action="store_true", help="measure on the test images at the end; do not use it to choose settings")
    add(
        "--equal-time",
        action="store_true",
        help="as many epochs as fit into the time of Mixup + CutMix",
    )
    add("--jobs", type=int, default=1, help="trials that run at the same time, with one thread each")
    add(
        "--weights",
        type=Path,
        metavar="FILE",
        help="pretrained weights for a fine-tuning task; by default timm's",
    )
    add("--data-dir", type=Path, metavar="DIR", help="images of a full-size task; downloads go there too")
    add("--workers", type=int, default=4, help="processes that read images in a full-size task")
    add("--report", action="store_true", help="train nothing; only write tables and a picture of the existing records")
    add("--device", default="auto", help="cpu, cuda, ...; auto is a GPU if there is one")
    add("--threads", type=int, default=torch.get_num_threads(), help="CPU threads if only one trial runs at a time")
    add_output(parser)


def run(args: argparse.Namespace) -> None:
    """Runs the missing trials, and writes records, tables and a picture to ``args.out``."""
    device = choose_device(args.device)
    with cpu_threads(args.threads):
        _run(args, device)


def _run(args: argparse.Namespace, device: torch.device) -> None:
    out, output = make_directory(args.out), Output(args)
    path = out / "trials.jsonl"
    if not args.report:
        places = Places(args.weights, args.data_dir, args.workers)
        sweep(_trials(args, device, out, places), path, device, output.reporter, args.jobs, places)
    records = trials_in(path).read()
    if not records:
        raise unusable("out", f"{path} holds no trial, wanted at least one")
    written, shown = [path], []
    for split in ("val", "test"):
        if any(record["trial"]["test"] == (split == "test") for record in records):
            text = tables(records, split)
            shown.append(text)
            written.append(write_file(out / f"{split}.md", text + "\n"))
            if installed("matplotlib"):
                written.append(save_figure(draw(records, split), out / f"{split}.png", dpi=110))
                if any(record.get("curve") for record in records):
                    written.append(save_figure(draw_curves(records, split), out / f"{split}-curves.png", dpi=110))
    text = "\n\n".join(["", *shown, f"Wrote {', '.join(map(str, written))}."])
    output.result(text, {"trials": records, "written": written})


def _trials(args: argparse.Namespace, device: torch.device, out: Path, places: Places) -> list[Trial]:
    given = parse_options(args.set)
    _check_names(given, args.methods)
    choices = {"seed": args.seeds, **given}
    tried = all_combinations(choices) if args.draw is None else drawn_combinations(choices, args.draw)
    trials = []
    for task, options, method in product(args.tasks, tried, args.methods):
        if find_arm(method).mixer is None:  # there is no mixer to set options of
            options = {name: value for name, value in options.items() if name in OPTIMISATION | {"seed"}}
        trial = _trial(task, method, options, args.test)
        if args.equal_time:
            epochs = options.get("epochs", find_task(task).optimisation.epochs)
            threads = 1 if args.jobs > 1 else args.threads
            cost = recorded_cost(replace(trial, seed=0), device, out / "costs.jsonl", threads, places)
            trial = _trial(task, method, {**options, "epochs": equal_epochs(trial, epochs, cost)}, args.test)
        trials.append(trial)
    return trials


def _check_names(names: Collection[str], methods: Sequence[str]) -> None:
    """Raises unless each option is known or is taken by the mixer of one of the methods."""
    known = {*OPTIMISATION, *PREFERENCE, *MixConfig.options(), *SaliencyConfig.options(), "r"}
    own = [str(find_arm(method).mixer) for method in methods]
    mixers = [mixer for mixer in own if mixer in list_mixers()]
    for name in names:
        if name not in known and not any(takes(mixer, name) for mixer in mixers):
            raise wrong("set", name, "options of the optimisation, the mixer or the preference")


def _trial(task: str, method: str, options: dict[str, Any], test: bool) -> Trial:
    own = {name: value for name, value in options.items() if name != "seed"}
    return Trial(task, method, options["seed"], tuple(sorted(own.items())), test)
