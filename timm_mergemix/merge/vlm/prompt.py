"""Prompts with fewer places for images: which places stay, and the way back to the caller's own."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

__all__ = ["Places", "Shortened", "shorten"]


class Places(NamedTuple):
    """The places of one kind of image in a batch of prompts.

    Attributes:
        mask: (B, L) bool, True where a token is a placeholder for a part of an image.
        each: Number of places per image; they follow each other.
        kept: Number of places per image that stay, counted from its first one.
    """

    mask: Tensor
    each: int
    kept: int

    @property
    def stays(self) -> Tensor:
        """(B, L) bool, False for places that are left out."""
        rank = self.mask.cumsum(dim=1) - 1
        return ~self.mask | (rank % self.each < self.kept)


class Shortened(NamedTuple):
    """A batch of prompts with fewer places. Rows that lose more than others are padded.

    Attributes:
        taken: (B, K) int64, the caller's position of each token.
        padding: (B, K) bool, True for tokens that stand for nothing.
        shift: (B, K) int64, how many places of images before a token were left out.
        back: (B, L) int64, for each of the caller's positions the token whose output stands for it: its own, or that of
            the last token before it that stays.
    """

    taken: Tensor
    padding: Tensor
    shift: Tensor
    back: Tensor

    def take(self, values: Tensor, fill: Any = 0) -> Tensor:
        """The values (B, L, ...) of the tokens that stay, (B, K, ...), with ``fill`` at padding."""
        values = values.expand(self.taken.shape[0], *values.shape[1:])
        rows = torch.arange(len(values), device=values.device).unsqueeze(1)
        padding = self.padding.view(*self.padding.shape, *(1,) * (values.ndim - 2))
        return values[rows, self.taken].masked_fill(padding, fill)

    def positions(self, positions: Tensor) -> Tensor:
        """Position ids (B or 1, L) of the tokens that stay, without gaps: (B, K)."""
        return (self.take(positions) - self.shift).masked_fill(self.padding, 0)

    def attention_mask(self, mask: Tensor | None) -> Tensor | None:
        """The mask (B, L) of the tokens that stay; one that hides padding where the caller has none."""
        if mask is not None:
            return self.take(mask)
        return (~self.padding).long() if bool(self.padding.any()) else None


def shorten(places: list[Places], left: bool, mask: Tensor | None = None) -> Shortened:
    """Leaves places out of prompts, and padding that is no longer needed.

    Args:
        places: Of each kind of image; at least one.
        left: Whether padding comes first in a row, else last.
        mask: (B, L), 0 for the caller's padding; None if there is none.
    """
    empty = ~places[0].stays
    for other in places[1:]:
        empty = empty | ~other.stays
    gone = empty if mask is None else empty | _outside(mask)
    counts = (~gone).sum(dim=1)
    length = int(counts.max())
    missing = length - counts
    # Rows that lose more than others keep some of what goes, as padding.
    pads = gone & (gone.cumsum(dim=1) <= missing.unsqueeze(1))
    order = torch.where(pads, 0 if left else 2, torch.where(gone, 3, 1))
    taken = order.argsort(dim=1, stable=True)[:, :length]
    back = ((~gone).cumsum(dim=1) - 1).clamp_min(0)
    if left:
        back = back + missing.unsqueeze(1)
    return Shortened(taken, pads.gather(1, taken), empty.cumsum(dim=1).gather(1, taken), back)


def _outside(mask: Tensor) -> Tensor:
    """Padding before the first and after the last token of a row; what is masked in between has a position."""
    real = mask.bool()
    return (real.cumsum(dim=1) == 0) | (real.flip(1).cumsum(dim=1).flip(1) == 0)
