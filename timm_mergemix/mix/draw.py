"""Every random number of a mix, from one torch seed."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import check_number, wrong

__all__ = ["Draw", "group_rows", "numpy_rng"]

# From here on all draws are 0.5 to the precision of a ratio; far above, the sampler overflows.
LARGEST_ALPHA = 1e15

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def numpy_rng(generator: torch.Generator | None = None) -> np.random.Generator:
    """A NumPy generator seeded by one draw from a torch generator, torch's default one if None."""
    device = "cpu" if generator is None else generator.device
    seed = torch.randint(2**63 - 1, (), generator=generator, device=device)
    return np.random.default_rng(int(seed))


def group_rows(mode: str, batch: int) -> Integers:
    """The group of each row: rows of one group share their parameters.

    Args:
        mode: ``"batch"``: one group; ``"pair"``: a row and its mirror image; ``"elem"``: each row its own.
        batch: Number of rows.

    Returns:
        (batch,) integers from 0.
    """
    rows = np.arange(batch)
    if mode == "batch":
        return np.zeros(batch, dtype=np.int64)
    return np.minimum(rows, batch - 1 - rows) if mode == "pair" else rows


class Draw:
    """Random numbers for some rows of a batch, one number each, the same one in all rows of a group.

    Args:
        rng: Where they come from.
        groups: (n,) group of each row, see `group_rows`.

    Raises:
        MergeMixError: If the groups are not integers from 0, or ``rng`` is not a NumPy generator.
    """

    def __init__(self, rng: np.random.Generator, groups: Integers) -> None:
        if not isinstance(rng, np.random.Generator):
            raise wrong("rng", rng, "a numpy.random.Generator")
        is_array = isinstance(groups, np.ndarray) and groups.ndim == 1 and np.issubdtype(groups.dtype, np.integer)
        if not is_array or (len(groups) and not 0 <= groups.min() <= groups.max() < 2**31):
            raise wrong("groups", groups, "an array of integers, the group of each row from 0")
        self._rng = rng
        self._groups = groups
        self._count = int(groups.max()) + 1 if len(groups) else 0

    def uniform(self, low: float = 0.0, high: float = 1.0) -> Floats:
        """(n,) from the uniform distribution on [low, high)."""
        return self._rng.uniform(low, high, self._count)[self._groups]

    def integers(self, low: Integers | int, high: Integers | int) -> Integers:
        """(n,) uniform integers in [low, high); the limits may differ from group to group."""
        return (low + np.floor(self.uniform() * (np.asarray(high) - low))).astype(np.int64)

    def beta(self, alpha: float) -> Floats:
        """(n,) from Beta(alpha, alpha), alpha > 0."""
        check_number("alpha", alpha, 0)
        if alpha == 0:
            raise wrong("alpha", alpha, "a number > 0")
        alpha = min(alpha, LARGEST_ALPHA)
        return self._rng.beta(alpha, alpha, self._count)[self._groups]

    def normal(self) -> Floats:
        """(n,) from the standard normal distribution, a number of its own for each row, whatever its group."""
        return self._rng.standard_normal(len(self._groups))

    def noise(self, length: int) -> Tensor:
        """(n, length) float32 tensor from the uniform distribution on [0, 1), numbers of their own for each row."""
        return torch.from_numpy(self._rng.random((len(self._groups), length), dtype=np.float32))
