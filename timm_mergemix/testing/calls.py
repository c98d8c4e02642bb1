"""Calls a mixer from a given seed on copies of a batch, as the invariants need it."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .properties import RefusedError, require

__all__ = ["MixerCall"]


class MixerCall:
    """Calls a mixer from a given seed.

    Args:
        mixer: A function of images and labels that returns both, mixed.
        num_classes: Number of classes.
    """

    def __init__(self, mixer: Any, num_classes: int) -> None:
        self.mixer = mixer
        self.num_classes = num_classes

    @property
    def generator(self) -> torch.Generator | None:
        """The mixer's attribute ``generator``, if it is a generator."""
        generator = getattr(self.mixer, "generator", None)
        return generator if isinstance(generator, torch.Generator) else None

    def __call__(
        self, images: Tensor, labels: Tensor, seed: int, *, others: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Returns the mix of a copy of a batch, with the memory layout of the original.

        Args:
            images: (B, C, H, W).
            labels: Labels in the form that the mixer takes.
            seed: Seed of torch and of the mixer's own generator.
            others: Seed of Python and NumPy; ``seed`` if None.

        Raises:
            RefusedError: If the mixer raises an error.
            AssertionError: If it returns anything but two tensors.
        """
        copy = torch.empty_strided(images.shape, images.stride(), dtype=images.dtype).copy_(images)
        return self.on_given(copy, labels.clone(), seed, others=others)

    def on_given(
        self, images: Tensor, labels: Tensor, seed: int, *, others: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Returns the mix of the given tensors themselves, without a copy."""
        self._seed(seed, seed if others is None else others)
        try:
            found = self.mixer(images, labels)
        except Exception as error:
            raise RefusedError from error
        pair = isinstance(found, (tuple, list)) and len(found) == 2 and all(isinstance(each, Tensor) for each in found)
        require(pair, f"it returns {type(found).__name__}, not images and targets")
        return found[0], found[1]

    def _seed(self, seed: int, others: int) -> None:
        random.seed(others)
        np.random.seed(others)
        torch.default_generator.manual_seed(seed)
        if torch.cuda.is_initialized():  # earlier, torch would queue every seed with its stack trace
            torch.cuda.manual_seed_all(seed)
        if self.generator is not None:
            self.generator.manual_seed(seed)
