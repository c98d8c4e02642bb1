"""The data and model that a task provides for a trial."""

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
    """Batches of images and labels that are not used for training.

    Attributes:
        all: All held-out images.
        hard: The images that are corrupted to measure robustness.
        pairs: The images that are mixed, in an order in which each batch has several classes.
        others: Other images of the same objects, by name, to measure robustness.
    """

    all: Images
    hard: Images
    pairs: Images
    others: Mapping[str, Images] = field(default_factory=dict)


@dataclass(frozen=True)
class Setup:
    """The data and model of a task for one seed.

    Attributes:
        model: The untrained model, the same for every method.
        classes: Number of classes.
        statistics: The statistics with which the batches are normalised.
        train: Augmented training batches.
        val: Held-out training images, for choosing settings.
        test: Test images, which are only read at the end.
        curve: A part of the validation images, for the learning curve.
        masks: A function from a training batch to the masks (B, H, W) of its objects; None if they are not known.
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
    """Makes the setup of a task for a seed, on a device."""

    @property
    def facts(self) -> list[Any]:
        """Returns everything but seed and places that determines the outcome, as plain values."""

    def __call__(self, seed: int, device: torch.device, places: Places) -> Setup:
        """Makes the setup with the images and weights of a seed."""


@dataclass(frozen=True)
class Task:
    """A task that every method is trained on.

    Attributes:
        title: The name in tables and plots.
        optimisation: Hyperparameters, the same for all methods.
        r: Token merging of the methods that train merged.
        set_up: Makes the images and weights for a seed.
        amp: Whether forward passes run in bfloat16, both in training and for measures.
    """

    title: str
    optimisation: Optimisation
    r: R
    set_up: SetUp
    amp: bool = False
