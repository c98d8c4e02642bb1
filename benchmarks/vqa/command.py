"""Trains small vision-language models on easy-VQA with and without the preference, and compares them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.records import Record, Records
from benchmarks.workers import in_processes
from timm_mergemix.cli.device import cpu_threads
from timm_mergemix.cli.options import make_directory
from timm_mergemix.cli.output import add_progress
from timm_mergemix.config import add_flags, given_flags
from timm_mergemix.errors import check_int
from timm_mergemix.preference.config import PAIR_LOSSES
from timm_mergemix.training.progress import Reporter
from timm_mergemix.training.vqa.arms import VqaSettings

from .arms import ARMS, LONGER, find_arm
from .cost import measure_costs
from .results import tables
from .trial import Trial, data_of, run_trial

__all__ = ["GO_ON", "SUMMARY", "add_arguments", "longer", "records_in", "run", "trials_of"]

SUMMARY = "Train small vision-language models on easy-VQA with and without the preference, and compare them."
NUMBERS = ("beta", "gamma", "weight", "alpha")
GO_ON = "Finished trainings are kept, others continue from their last checkpoint; continue with"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the program."""
    add = parser.add_argument
    add("--out", type=Path, default=Path("runs/vqa"), metavar="DIR", help="where records and checkpoints go")
    add("--arms", nargs="+", choices=ARMS, default=list(ARMS), metavar="ARM", help=f"of {', '.join(ARMS)}")
    add("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="SEED", help="seeds; one training per arm and seed")
    add("--test", action="store_true", help="train on all training drawings and measure on the test questions")
    add("--equal-time", action="store_true", help="also train the faster arms for as long as MergeMix takes")
    add("--jobs", type=int, default=1, help="trainings that run at the same time, in processes of one thread each")
    for name in NUMBERS:
        add(f"--{name}", type=float, default=getattr(VqaSettings, name), help="see VqaSettings")
    add("--variant", choices=PAIR_LOSSES, default=VqaSettings.variant, help="loss of each pair")
    add("--detach-loser", action="store_true", help="train the preference through the winner only")
    add_flags(parser, VqaSettings)
    add_progress(parser)


def run(args: argparse.Namespace) -> None:
    """Runs the missing trainings and prints the tables."""
    check_int("jobs", args.jobs, 1)
    reporter = Reporter(progress=args.progress)
    out = make_directory(args.out)
    with cpu_threads(1):
        trials = trials_of(args)
        if args.equal_time:
            trials += longer(trials, costs_of(out, preference_settings(args)))
        records = records_in(out / "trials.jsonl")
        wanted = [((trial.plain(),), trial) for trial in trials]
        found = records.run_missing(wanted, partial(run_all, out=out, jobs=args.jobs, reporter=reporter))
    print(tables(found))


def records_in(path: Path) -> Records:
    """Returns the records of the finished trainings in a file."""
    return Records(path, ("trial",), ("measured", "steps"))


def trials_of(args: argparse.Namespace) -> list[Trial]:
    """Returns the requested trainings, one seed after another."""
    # Without the preference its settings do not matter, so one training serves all of them.
    settings = {True: VqaSettings(**given_flags(args, VqaSettings)), False: preference_settings(args)}
    return [
        Trial(arm, replace(settings[find_arm(arm).kind is None], seed=seed), args.test)
        for seed in args.seeds
        for arm in args.arms
    ]


def preference_settings(args: argparse.Namespace) -> VqaSettings:
    """Returns the settings of trainings with the preference."""
    given = {name: getattr(args, name) for name in (*NUMBERS, "variant", "detach_loser")}
    return VqaSettings(**given, **given_flags(args, VqaSettings))


def longer(trials: list[Trial], costs: dict[str, dict[str, float]]) -> list[Trial]:
    """Returns trainings of the faster arms, with as many epochs as fit into the time of the slowest one.

    Args:
        trials: The trainings at equal epochs.
        costs: The relative cost of each arm, from `measure_costs`.
    """
    slowest, names = LONGER
    factors = {name: round(costs[slowest]["value"] / costs[name]["value"], 2) for name in names}
    return [
        replace(trial, settings=replace(trial.settings, epochs=round(trial.settings.epochs * factors[trial.arm], 3)))
        for trial in trials
        if trial.arm in names
    ]


def costs_of(out: Path, settings: VqaSettings) -> dict[str, dict[str, float]]:
    """Returns the cost of steps, measured once per directory."""
    records = Records(out / "costs.jsonl", ("batch_size", "detach_loser"), ("costs",))
    wanted = [((settings.batch_size, settings.detach_loser), settings)]

    def measure(left: list[VqaSettings]) -> Iterator[Record]:
        for each in left:
            costs = measure_costs(data_of(False), each, seconds=20)
            yield {"batch_size": each.batch_size, "detach_loser": each.detach_loser, "costs": costs}

    costs: dict[str, dict[str, float]] = records.run_missing(wanted, measure)[0]["costs"]
    return costs


def run_all(left: list[Trial], out: Path, jobs: int, reporter: Reporter) -> Iterator[Record]:
    """Yields the record of each training when it is finished."""
    if jobs == 1:
        yield from (run_trial(trial, out, reporter) for trial in left)
        return
    run = partial(run_trial, out=out, reporter=Reporter(quiet=True))
    with reporter.bar("trainings", len(left), unit="training") as bar:
        for trial, record in in_processes(run, left, jobs):
            accuracy = 100 * record["measured"]["accuracy"]
            bar.step()
            if not reporter.bars:
                reporter.say(f"{trial.arm}, seed {trial.settings.seed}: accuracy {accuracy:.1f} %")
            yield record
