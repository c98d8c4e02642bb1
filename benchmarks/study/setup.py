"""What a task hands to a trial."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from timm_mergemix.merge.schedule import R
from timm_mergemix.training.images import Statistics
from timm_mergemix.training.loop import Batches
from timm_mergemix.training.optim import Optimisation

from .places import Places

__all__ = ["HeldOut", "SetUp", "Setup", "Task"]

Images = Iterable[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class HeldOut:
    """Batches of images and labels that no training step sees.

    Attributes:
        all: All of them.
        hard: Those that are made worse, to measure robustness.
        pairs: Those that are mixed, in an order in which the images of a batch are of several classes.
        others: By name, other images of the same objects, to measure robustness.
    """

    all: Images
    hard: Images
    pairs: Images
    others: Mapping[str, Images] = field(default_factory=dict)


@dataclass(frozen=True)
class Setup:
    """A task with its seed drawn.

    Attributes:
        model: Before its first step; the same for every method.
        classes: Number of classes.
        statistics: With which the batches are normalised.
        train: Augmented training batches.
        val: For choosing settings, cut from the training data.
        test: Read once, at the end.
        curve: Some of the validation images, for the learning curve.
        masks: A training batch -> (B, H, W), where its objects are; None where nobody knows.
    """

    model: nn.Module
    classes: int
    statistics: Statistics
    train: Batches
    val: HeldOut
    test: HeldOut
    curve: Images
    masks: Callable[[Tensor], Tensor] | None = None


class SetUp(Protocol):
    """Draws images and weights by a seed, on a device."""

    @property
    def facts(self) -> list[Any]:
        """What decides the outcome beside seed and places, as plain values."""

    def __call__(self, seed: int, device: torch.device, places: Places) -> Setup:
        """The task with the seed's images and weights."""


@dataclass(frozen=True)
class Task:
    """What every method learns.

    Attributes:
        title: Shown to people.
        optimisation: Its hyperparameters, for all methods.
        r: Token merging of the methods that train merged.
        set_up: Draws images and weights.
        amp: Whether forward passes run in bfloat16, in training and in measuring.
    """

    title: str
    optimisation: Optimisation
    r: R
    set_up: SetUp
    amp: bool = False
