"""The cost of a training step, relative to a step of fine-tuning alone."""

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
    """Measures the time of a step of each arm relative to the control, interleaved, with a 95 % interval.

    Args:
        data: The questions.
        settings: Settings of the training.
        seconds: Minimum time per arm in seconds.
    """
    steps = {name: make_step(arm, data, settings) for name, arm in ARMS.items()}
    times = interleave(steps, 5, torch.device("cpu"), seconds, warmup=2)
    return {name: ratio_of(times[name], times[CONTROL])._asdict() for name in steps}


def make_step(arm: Arm, data: VqaData, settings: VqaSettings) -> Callable[[], object]:
    """A complete training step of an arm on randomly drawn questions."""
    torch.manual_seed(settings.seed)
    model: Any = small_llava(data.size, len(data.words)).train()
    if arm.keep < 1:
        places = count_places(model)
        patch(model, ("total", places - round(arm.keep * places)))
    mixer = None if arm.kind is None else pair_mixer(arm.kind, model, alpha=settings.alpha)
    step = SequencePreferenceStep(model, mixer, preference_of(arm, settings))
    optimizer = torch.optim.AdamW(model.parameters(), settings.lr)
    # As many drawings as in a training, because the first questions are about only a few.
    chosen = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(0))[: settings.batch_size]
    batch = data.train(chosen.tolist())

    def train() -> None:
        optimizer.zero_grad()
        _loss(step, batch).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return train


def _loss(step: SequencePreferenceStep, batch: dict[str, Any]) -> Tensor:
    """Runs two passes, as the trainer does for every kind of mix."""
    (paired,), counts = step.pair([batch])
    inputs = {name: value for name, value in paired.inputs.items() if name != "labels"}
    with step.reading(paired) as read:
        answers = answer_logp(step.model(**inputs), paired.labels)
    losers = step.losers(paired, read)
    return step.compare(answers, paired, losers, step.answer_losers(losers), counts).total
