"""The cost of a training step of each method, for comparisons at equal time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import torch

from timm_mergemix.cli.device import cpu_threads
from timm_mergemix.training.loop import train_step
from timm_mergemix.training.objective import build_objective
from timm_mergemix.training.optim import build_optimizer
from timm_mergemix.tune.timing import Ratio, Step, interleave, ratio_of

from ..records import Record, Records
from .places import HERE, Places
from .run import prepare
from .trial import Trial

__all__ = ["REFERENCE", "costs_in", "equal_epochs", "recorded_cost", "step_cost"]

REFERENCE = "timm"
BATCHES = 8


def step_cost(
    trial: Trial, device: torch.device, *, rounds: int = 15, seconds: float = 60.0, places: Places = HERE
) -> Ratio:
    """Time of a trial's training steps relative to timm's Mixup and CutMix on the unmerged model.

    Both are complete steps of the training loop, including loading and augmentation, interleaved in one process.

    Args:
        trial: The trial; the reference has the same task and seed.
        device: The device on which steps run.
        rounds: Minimum number of rounds, for `interleave`.
        seconds: Minimum duration, for `interleave`.
        places: Paths of weights and data.
    """
    reference = Trial(trial.task, REFERENCE, trial.seed)
    steps = {"own": _step(trial, device, places), "reference": _step(reference, device, places)}
    times = interleave(steps, rounds, device, seconds)
    return ratio_of(times["own"], times["reference"])


def recorded_cost(trial: Trial, device: torch.device, path: Path, threads: int, places: Places = HERE) -> Ratio:
    """`step_cost`, measured once and kept in a file of records, so that a resumed comparison has the same epochs.

    Args:
        trial: The trial; its number of epochs does not matter.
        device: The device on which steps run.
        path: The file of records.
        threads: CPU threads of the steps.
        places: Paths of weights and data.
    """
    options = [[name, value] for name, value in trial.options if name != "epochs"]
    key = [trial.task, trial.method, options, str(device), threads]

    def measure(left: list[Trial]) -> Iterator[Record]:
        with cpu_threads(threads):
            yield from ({"key": key, "cost": step_cost(each, device, places=places)} for each in left)

    (record,) = _costs(path).run_missing([((key,), trial)], measure)
    return Ratio(*record["cost"])


def costs_in(path: Path) -> list[Record]:
    """The records that `recorded_cost` keeps in a file."""
    return _costs(path).read()


def _costs(path: Path) -> Records:
    return Records(path, ("key",), ("cost",))


def equal_epochs(trial: Trial, epochs: int, cost: Ratio) -> int:
    """Returns how many epochs of a trial take as long as the given number of epochs of the reference."""
    return epochs if trial.method == REFERENCE else max(1, round(epochs / cost.value))


def _step(trial: Trial, device: torch.device, places: Places) -> Step:
    job, setup = prepare(trial, Path(), device, places)
    optimizer, _ = build_optimizer(job.model, job.optimisation, len(setup.train))
    objective = build_objective(job.model, job.mixer, job.optimisation.smoothing, job.preference)
    job.model.train()

    def step() -> None:
        # Several batches, so that a mixer with several ways of mixing uses more than one of them.
        for images, labels in islice(setup.train, BATCHES):
            train_step(job, objective, optimizer, images, labels)

    return step
