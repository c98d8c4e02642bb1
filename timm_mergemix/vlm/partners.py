"""Who is mixed with whom, and which questions have no loser."""

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
        rows: Numbers of the rows.
        own: Their examples.
        partners: The examples whose images are mixed in.
        left_out: Reason -> number of rows without a loser.
    """

    rows: tuple[int, ...]
    own: tuple[Example, ...]
    partners: tuple[Example, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def seen(self) -> int:
        """Number of rows of the batch."""
        return len(self.rows) + sum(self.left_out.values())


@dataclass(frozen=True)
class PartnerRule:
    """Which partner makes a loser: one for whose picture the answer is wrong.

    Attributes:
        still_right: Whether the answer of one question is right for the picture of another, from what the batch says
            ``about`` both. None: nobody knows, so equal answers count as right.
        leave_out: Answers by which a question has no loser at all.
    """

    still_right: Callable[[Any, Any], bool] | None = None
    leave_out: tuple[str, ...] = ()

    def reason(self, own: Example) -> str | None:
        """Why a question has no loser, whoever the partner would be; None if it can have one."""
        if own.image is None:
            return NO_IMAGE
        if not own.words:
            return NO_ANSWER
        return LEFT_OUT if own.words[0] in self.leave_out else None

    def is_right(self, own: Example, other: Example) -> bool:
        """Whether the answer of the first is right for the picture of the second, as far as anybody knows."""
        if self.still_right is None:
            return own.words == other.words
        if own.about is None or other.about is None:
            raise wrong(ABOUT, None, "what still_right asks for, in each row of the batch")
        return bool(self.still_right(own.about, other.about))


def choose_partners(
    examples: Sequence[Example], recent: Sequence[Example], rule: PartnerRule, rng: np.random.Generator
) -> Pairing:
    """A partner for each question that can have a loser, at random among those that make one.

    Args:
        examples: Of the batch.
        recent: Of earlier batches, whose images may be mixed in too.
        rule: Which ones make a loser.
        rng: Where chance comes from.
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
    """Float tensors are mixed pixel by pixel; other images are resized first."""
    if not isinstance(own.image, Tensor) or own.image.dtype == torch.uint8:
        return True
    return isinstance(other.image, Tensor) and other.image.shape == own.image.shape
