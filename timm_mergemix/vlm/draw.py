"""Random numbers for losers, limited so that part of each partner always remains visible."""

from __future__ import annotations

import numpy as np

from ..mix.draw import Draw, Floats

__all__ = ["LoserDraw"]


class LoserDraw(Draw):
    """Draws one number per image, and limits lam so that some of the partner is left; otherwise there is no loser.

    Args:
        rng: The random generator.
        count: Number of images.
        most: The largest lam.
    """

    def __init__(self, rng: np.random.Generator, count: int, most: float) -> None:
        super().__init__(rng, np.arange(count))
        self._most = most

    def beta(self, alpha: float) -> Floats:
        """Draws (n,) numbers from Beta(alpha, alpha), clipped at the largest lam."""
        return np.minimum(super().beta(alpha), self._most)
