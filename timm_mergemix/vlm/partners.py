"""Chooses the partner of each question, and decides which questions have no loser."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import wrong
from .examples import ABOUT, Example

__all__ = ["Pairing", "PartnerRule", "choose_partners"]

YES_NO = ("yes", "no")
NO_IMAGE = "not just one image"
NO_ANSWER = "no answer"
LEFT_OUT = "answered by a word that is left out"
NO_PICTURE = "no other picture"
NO_PARTNER = "the answer is right for every other picture"


@dataclass(frozen=True, eq=False)
class Pairing:
    """Which rows of a batch have a loser, and whose image is mixed into it.

    Attributes:
        rows: Indices of the rows that have a loser.
        own: The examples of these rows.
        partners: The examples whose images are mixed into them.
        left_out: Reason -> number of rows that have no loser for that reason.
    """

    rows: tuple[int, ...]
    own: tuple[Example, ...]
    partners: tuple[Example, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def seen(self) -> int:
        """Number of rows in the batch."""
        return len(self.rows) + sum(self.left_out.values())


@dataclass(frozen=True)
class PartnerRule:
    """Decides which partners make a loser: those for whose picture the answer is wrong.

    Attributes:
        still_right: Returns whether the answer of one question is right for the picture of another, given the values of
            both in the column ``about``. With None, it counts as right if the answers are equal.
        leave_out: First words of answers whose questions get no loser at all.
    """

    still_right: Callable[[Any, Any], bool] | None = None
    leave_out: tuple[str, ...] = ()

    def reason(self, own: Example) -> str | None:
        """Why a question has no loser with any partner; None if it can have one."""
        if own.image is None:
            return NO_IMAGE
        if not own.words:
            return NO_ANSWER
        return LEFT_OUT if own.words[0] in self.leave_out else None

    def is_right(self, own: Example, other: Example) -> bool:
        """Whether the answer of the first question is, or may be, right for the picture of the second."""
        if self.still_right is None:
            return own.words == other.words
        if own.about is None or other.about is None:
            raise wrong(ABOUT, None, "a value for still_right in each row of the batch")
        return bool(self.still_right(own.about, other.about))


def choose_partners(
    examples: Sequence[Example], recent: Sequence[Example], rule: PartnerRule, rng: np.random.Generator
) -> Pairing:
    """Chooses a random valid partner for each question that can have a loser.

    Args:
        examples: The questions of the batch.
        recent: Questions of earlier batches, whose images may be mixed in too.
        rule: Decides which partners are valid.
        rng: The random generator.
    """
    pool = [example for example in (*examples, *recent) if example.image is not None]
    rows, partners, left_out = [], [], dict[str, int]()
    for row, own in enumerate(examples):
        found = rule.reason(own) or _partner(own, pool, rule, rng)
        if isinstance(found, str):
            left_out[found] = left_out.get(found, 0) + 1
        else:
            rows.append(row)
            partners.append(found)
    return Pairing(tuple(rows), tuple(examples[row] for row in rows), tuple(partners), left_out)


def _partner(own: Example, pool: Sequence[Example], rule: PartnerRule, rng: np.random.Generator) -> Example | str:
    other_picture = False
    for number in rng.permutation(len(pool)):
        other = pool[number]
        if other.picture != own.picture and _fits(own, other):
            other_picture = True
            if not rule.is_right(own, other):
                return other
    return NO_PARTNER if other_picture else NO_PICTURE


def _fits(own: Example, other: Example) -> bool:
    """Whether two images can be mixed: float tensors need the same shape, other images are resized."""
    if not isinstance(own.image, Tensor) or own.image.dtype == torch.uint8:
        return True
    return isinstance(other.image, Tensor) and other.image.shape == own.image.shape
