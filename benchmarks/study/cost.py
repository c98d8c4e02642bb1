"""What a training step of each method costs, for comparisons at equal time."""

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

__all__ = ["REFERENCE", "equal_epochs", "recorded_cost", "step_cost"]

REFERENCE = "timm"
BATCHES = 8


def step_cost(
    trial: Trial, device: torch.device, *, rounds: int = 15, seconds: float = 60.0, places: Places = HERE
) -> Ratio:
    """Time of a trial's training steps over those of timm's Mixup and CutMix on the unmerged model.

    Both are whole steps of the training loop, images drawn and augmented, interleaved in one process.

    Args:
        trial: Whose steps; the reference has the same task and seed.
        device: Where steps job.
        rounds: See `interleave`.
        seconds: See `interleave`.
        places: See `Places`.
    """
    reference = Trial(trial.task, REFERENCE, trial.seed)
    steps = {"own": _step(trial, device, places), "reference": _step(reference, device, places)}
    times = interleave(steps, rounds, device, seconds)
    return ratio_of(times["own"], times["reference"])


def recorded_cost(trial: Trial, device: torch.device, path: Path, threads: int, places: Places = HERE) -> Ratio:
    """`step_cost` from a file of records, measured once, so that a comparison that goes on has the same epochs.

    Args:
        trial: Whose steps; its epochs make no difference.
        device: Where steps run.
        path: The file.
        threads: CPU threads of the steps.
        places: See `Places`.
    """
    options = [[name, value] for name, value in trial.options if name != "epochs"]
    key = [trial.task, trial.method, options, str(device), threads]

    def measure(left: list[Trial]) -> Iterator[Record]:
        with cpu_threads(threads):
            yield from ({"key": key, "cost": step_cost(each, device, places=places)} for each in left)

    (record,) = Records(path, ("key",), ("cost",)).run_missing([((key,), trial)], measure)
    return Ratio(*record["cost"])


def equal_epochs(trial: Trial, epochs: int, cost: Ratio) -> int:
    """How many epochs of a trial take as long as that many of the reference, which keeps its own."""
    return epochs if trial.method == REFERENCE else max(1, round(epochs / cost.value))


def _step(trial: Trial, device: torch.device, places: Places) -> Step:
    job, setup = prepare(trial, Path(), device, places)
    optimizer, _ = build_optimizer(job.model, job.optimisation, len(setup.train))
    objective = build_objective(job.model, job.mixer, job.optimisation.smoothing, job.preference)
    job.model.train()

    def step() -> None:
        # A few batches, so that a mixer with several ways of mixing shows more than one of them.
        for images, labels in islice(setup.train, BATCHES):
            train_step(job, objective, optimizer, images, labels)

    return step
