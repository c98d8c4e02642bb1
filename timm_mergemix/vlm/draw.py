"""Random numbers of losers: a part of each partner is always seen."""

from __future__ import annotations

import numpy as np

from ..mix.draw import Draw, Floats

__all__ = ["LoserDraw"]


class LoserDraw(Draw):
    """A number of its own for each image; lambda always leaves something of the partner, else there is no loser.

    Args:
        rng: Where they come from.
        count: Number of images.
        most: The largest lambda.
    """

    def __init__(self, rng: np.random.Generator, count: int, most: float) -> None:
        super().__init__(rng, np.arange(count))
        self._most = most

    def beta(self, alpha: float) -> Floats:
        """(n,) from Beta(alpha, alpha), cut off at the largest lambda."""
        return np.minimum(super().beta(alpha), self._most)
