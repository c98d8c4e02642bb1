"""What a training step of each method costs, for comparisons at equal time."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import torch

from timm_mergemix.training.loop import train_step
from timm_mergemix.training.objective import build_objective
from timm_mergemix.training.optim import build_optimizer
from timm_mergemix.tune.timing import Ratio, Step, interleave, ratio_of

from .places import HERE, Places
from .trial import Trial, prepare

__all__ = ["REFERENCE", "equal_epochs", "step_cost"]

REFERENCE = "timm"
BATCHES = 8


def step_cost(
    trial: Trial, device: torch.device, *, rounds: int = 15, seconds: float = 60.0, places: Places = HERE
) -> Ratio:
    """Time of a trial's training steps over those of timm's Mixup and CutMix on the unmerged model.

    Both are whole steps of the training loop, images drawn and augmented, interleaved in one process.

    Args:
        trial: Whose steps; the reference has the same task and seed.
        device: Where steps run.
        rounds: See `interleave`.
        seconds: See `interleave`.
        places: See `Places`.
    """
    reference = Trial(trial.task, REFERENCE, trial.seed)
    steps = {"own": _step(trial, device, places), "reference": _step(reference, device, places)}
    times = interleave(steps, rounds, device, seconds)
    return ratio_of(times["own"], times["reference"])


def equal_epochs(trial: Trial, epochs: int, cost: Ratio) -> int:
    """How many epochs of a trial take as long as that many of the reference, which keeps its own."""
    return epochs if trial.method == REFERENCE else max(1, round(epochs / cost.value))


def _step(trial: Trial, device: torch.device, places: Places) -> Step:
    run, setup = prepare(trial, Path(), device, places)
    optimizer, _ = build_optimizer(run.model, run.recipe, len(setup.train))
    objective = build_objective(run.model, run.mixer, run.recipe.smoothing, run.preference)
    run.model.train()

    def step() -> None:
        # A few batches, so that a mixer with several ways of mixing shows more than one of them.
        for images, labels in islice(setup.train, BATCHES):
            train_step(run, objective, optimizer, images, labels)

    return step
