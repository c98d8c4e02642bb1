"""What objects stand on: their own ground, and others for the same object."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..drawings import two_colours

__all__ = ["GROUNDS", "SWAPPED"]

OCTAVES = 4, 8, 16, 32


def _gradient(part: int) -> Callable[[int, int], Tensor]:
    return lambda size, key: two_colours(size, np.random.default_rng([part, key]))


def _texture(size: int, key: int) -> Tensor:
    """Spots of all colours, coarse and fine, (3, size, size)."""
    rng = np.random.default_rng([2, key])
    total = torch.zeros(3, size, size)
    for cells in OCTAVES:
        noise = torch.from_numpy(rng.uniform(-1, 1, size=(1, 3, cells, cells))).float()
        total += F.interpolate(noise, size=size, mode="bilinear")[0]
    return (0.5 + 0.3 * total).clamp(0, 1)


# A size and a number by which the ground is drawn -> (3, size, size) from 0 to 1.
GROUNDS: dict[str, Callable[[int, int], Tensor]] = {
    "own": _gradient(0),
    "ground swapped": _gradient(1),
    "ground textured": _texture,
}
SWAPPED = tuple(name for name in GROUNDS if name != "own")
