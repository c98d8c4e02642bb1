"""Trains a small vision-language model on questions with transformers' training loop."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ...files.lock import locked
from ...merge.patch import patch
from ..progress import Reporter
from .arms import Arm, VqaSettings
from .data import VqaData
from .model import count_places, small_llava
from .tower import STEPS, prepare_tower

__all__ = ["VqaOutcome", "train_arm"]


@dataclass(frozen=True)
class VqaOutcome:
    """The result of training an arm.

    Attributes:
        arm: The arm.
        model: The trained model, patched if the arm merges.
        history: The trainer's log history.
        steps: Number of optimiser steps.
    """

    arm: Arm
    model: Any
    history: list[dict[str, float]]
    steps: int

    @property
    def seconds_per_step(self) -> float:
        """Median over the logs of the time per step, including mixing."""
        times = sorted(line["seconds_per_step"] for line in self.history if "seconds_per_step" in line)
        return times[len(times) // 2] if times else float("nan")


def train_arm(
    arm: Arm,
    data: VqaData,
    settings: VqaSettings,
    out: Path,
    reporter: Reporter,
    fresh: bool = False,
) -> VqaOutcome:
    """Trains a model, or resumes an interrupted run with the same settings in ``out``.

    All arms start from the same weights and see the same questions in the same order.

    Raises:
        MergeMixError: If another process is training the same arm there.
    """
    key = hashlib.sha256(json.dumps([asdict(arm), asdict(settings), len(data.train)]).encode()).hexdigest()[:8]
    folder = out / "runs" / f"{arm.name}-{key}"
    with locked(folder):
        return _train_arm(arm, data, settings, folder, reporter, fresh)


def _train_arm(
    arm: Arm, data: VqaData, settings: VqaSettings, folder: Path, reporter: Reporter, fresh: bool
) -> VqaOutcome:
    if fresh:
        shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(settings.seed)
    model = small_llava(data.size, len(data.words))
    # Shared by all arms, since it does not depend on the arm.
    prepare_tower(model, data, folder.with_name(f"tower-{settings.seed}-{len(data.train)}-{STEPS}.pt"), reporter)
    torch.manual_seed(settings.seed)
    places = count_places(model)
    if arm.keep < 1:
        patch(model, ("total", places - round(arm.keep * places)))
    steps = max(1, round(settings.epochs * len(data.train) / settings.batch_size))
    from .trainer import train  # imports transformers

    history = train(arm, model, data, settings, folder, steps, reporter)
    return VqaOutcome(arm, model, history, steps)
