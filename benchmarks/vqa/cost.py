"""What a training step costs, in units of that of fine-tuning alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from timm_mergemix.merge.patch import patch
from timm_mergemix.training.vqa.arms import Arm, VqaSettings, pair_mixer, preference_of
from timm_mergemix.training.vqa.data import VqaData
from timm_mergemix.training.vqa.model import count_places, small_llava
from timm_mergemix.tune.timing import interleave, ratio_of
from timm_mergemix.vlm.answers import answer_logp
from timm_mergemix.vlm.step import SequencePreferenceStep

from .arms import ARMS, CONTROL

__all__ = ["measure_costs"]


def measure_costs(data: VqaData, settings: VqaSettings, seconds: float) -> dict[str, dict[str, float]]:
    """For each arm the time of a step over that of the control, interleaved in this process, with a 95 % interval.

    Args:
        data: The questions.
        settings: Of the training.
        seconds: For each arm, at least.
    """
    steps = {name: make_step(arm, data, settings) for name, arm in ARMS.items()}
    times = interleave(steps, 5, torch.device("cpu"), seconds, warmup=2)
    return {name: ratio_of(times[name], times[CONTROL])._asdict() for name in steps}


def make_step(arm: Arm, data: VqaData, settings: VqaSettings) -> Callable[[], object]:
    """A whole training step of an arm on questions drawn at random."""
    torch.manual_seed(settings.seed)
    model: Any = small_llava(data.size, len(data.words)).train()
    if arm.keep < 1:
        places = count_places(model)
        patch(model, ("total", places - round(arm.keep * places)))
    mixer = None if arm.kind is None else pair_mixer(arm.kind, model, alpha=settings.alpha)
    step = SequencePreferenceStep(model, mixer, preference_of(arm, settings))
    optimizer = torch.optim.AdamW(model.parameters(), settings.lr)
    # As many drawings as in a training: the first questions are about a few.
    chosen = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(0))[: settings.batch_size]
    batch = data.train(chosen.tolist())

    def train() -> None:
        optimizer.zero_grad()
        _loss(step, batch).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return train


def _loss(step: SequencePreferenceStep, batch: dict[str, Any]) -> Tensor:
    """In two passes, as the trainer runs them, whatever the kind of mix."""
    (paired,), counts = step.pair([batch])
    inputs = {name: value for name, value in paired.inputs.items() if name != "labels"}
    with step.reading(paired) as read:
        answers = answer_logp(step.model(**inputs), paired.labels)
    losers = step.losers(paired, read)
    return step.compare(answers, paired, losers, step.answer_losers(losers), counts).total
