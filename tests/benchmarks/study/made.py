"""Made-up tasks that take no time."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks.study import tasks
from benchmarks.study.masks import MaskedBatches
from benchmarks.study.places import Places
from benchmarks.study.setup import HeldOut, Setup, Task
from timm_mergemix.training.images import MemoryBatches, Statistics
from timm_mergemix.training.model import small_vit
from timm_mergemix.training.optim import Optimisation

from ...training.made import striped

SIZE = 16


def set_up(seed: int, device: torch.device, places: Places) -> Setup:
    images, *others = (striped(24, SIZE, seed=10 * seed + part) for part in range(4))
    statistics = Statistics.of(images.images)
    masks = (images.images > 100).byte() * 255  # the half that is bright
    train = MaskedBatches(images, masks, 8, statistics, device=device)
    val, test, curve = (MemoryBatches(part, 8, statistics, device=device) for part in others)
    held_out = (HeldOut(part, part, part, {"darker": part}) for part in (val, test))
    return Setup(small_model().to(device), 2, statistics, train, *held_out, curve, train.masks_of)


def small_model() -> nn.Module:
    return small_vit((1, SIZE, SIZE), 4, 2, width=32, depth=3)


class Stripes:
    def __init__(self, facts: list[int] | None = None) -> None:
        self.facts = facts or [24]

    def __call__(self, seed: int, device: torch.device, places: Places) -> Setup:
        return set_up(seed, device, places)


TASK = Task("stripes", Optimisation(epochs=2, lr=1e-3, warmup_epochs=1), 2, Stripes())


@pytest.fixture
def stripes(monkeypatch: pytest.MonkeyPatch) -> str:
    """Adds a task of 24 images and returns its name."""
    monkeypatch.setitem(tasks.TASKS, "stripes", TASK)
    return "stripes"


def check(setup: Setup, size: int) -> None:
    """Checks that images of this size are normalised and that the model takes them."""
    images, labels = next(iter(setup.train))
    assert images.shape[-2:] == (size, size) and labels.max() < setup.classes
    assert setup.model(images[:2]).shape == (2, setup.classes)
    assert images.mean().abs() < 1.5
