"""What a training step of each method costs, for comparisons at equal time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from ..bench.timing import Ratio, Step, interleave, ratio_of
from ..training.objective import build_objective
from ..training.optim import build_optimizer
from .places import HERE, Places
from .trial import Trial, prepare

__all__ = ["REFERENCE", "equal_epochs", "step_costs"]

REFERENCE = "timm"
BATCHES = 8


def step_costs(
    task: str,
    methods: Sequence[str],
    device: torch.device,
    *,
    options: tuple[tuple[str, Any], ...] = (),
    rounds: int = 15,
    seconds: float = 20.0,
    places: Places = HERE,
) -> dict[str, Ratio]:
    """Times of training steps over that of timm's Mixup and CutMix on the unmerged model, interleaved in one process.

    Args:
        task: Name of a task.
        methods: Names of methods.
        device: Where steps run.
        options: Of all methods but the reference, see `Trial`.
        rounds: See `interleave`.
        seconds: See `interleave`.
        places: See `Places`.
    """
    steps = {name: _step(Trial(task, name, options=options), device, places) for name in methods}
    steps["reference"] = _step(Trial(task, REFERENCE), device, places)
    times = interleave(steps, rounds, device, seconds)
    return {name: ratio_of(times[name], times["reference"]) for name in methods}


def equal_epochs(epochs: int, cost: Ratio) -> int:
    """How many epochs take as long as that many of the reference."""
    return max(1, round(epochs / cost.value))


def _step(trial: Trial, device: torch.device, places: Places) -> Step:
    run, setup = prepare(trial, Path(), device, places)
    optimizer, _ = build_optimizer(run.model, run.recipe, len(setup.train))
    objective = build_objective(run.model, run.mixer, run.recipe.smoothing, run.preference)
    run.model.train()
    # A few batches, so that a mixer with several ways of mixing shows more than one of them.
    batches = [(images.to(device), labels.to(device)) for images, labels in islice(setup.train, BATCHES)]

    def step() -> None:
        for images, labels in batches:
            loss = objective(images.clone(), labels)["loss"]  # timm's Mixup writes into its images
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return step
