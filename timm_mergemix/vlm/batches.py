"""Batches of questions: what a model takes of them, what is known of each question, and their losers."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from ..errors import Words, check_tensor, wrong
from .examples import (
    ABOUT,
    ANSWER,
    EXTRAS,
    IMAGE_ID,
    Example,
    check_ids,
    check_readable,
    read_answers,
    read_column,
    read_pictures,
)
from .partners import Pairing
from .rows import find_images, plain_images, take_rows

__all__ = ["LABELS", "LOSERS", "Losers", "PairedBatch", "examples_of", "inputs_of", "losers_of"]

LABELS = "labels"
LOSERS = "losers"  # where a batch has losers that were made before the processor


@dataclass(frozen=True)
class Losers:
    """The mixes of a batch, ready for a model.

    Attributes:
        inputs: The arguments of the model, without labels.
        labels: (n, L) int64.
        rows: (n,) int64, the row of the clean image of each.
        ratio: (n,) float32, how much of each is the clean image.
    """

    inputs: dict[str, Any]
    labels: Tensor
    rows: Tensor
    ratio: Tensor

    @classmethod
    def of(cls, values: Any) -> Losers | None:
        """The losers of a batch that brings them, as a dictionary, which every loader can move; None without any.

        Raises:
            MergeMixError: If the dictionary is another one.
        """
        names = [field.name for field in fields(cls)]
        if not isinstance(values, Mapping) or set(values) != set(names):
            raise wrong(LOSERS, Words(f"a {type(values).__name__}"), f"a dictionary of {', '.join(names)}")
        return cls(**values) if len(values["rows"]) else None

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class PairedBatch:
    """A batch whose partners are chosen.

    Attributes:
        inputs: The arguments of the model, with ``labels``.
        pairing: Who is mixed with whom; None where the losers were made before.
        losers: They; None where they are still to be made, or there are none.
    """

    inputs: dict[str, Any]
    pairing: Pairing | None = None
    losers: Losers | None = None

    @property
    def labels(self) -> Tensor:
        """(B, L) int64."""
        return self.inputs[LABELS]

    @property
    def pairs(self) -> int:
        """Number of pairs."""
        return len(self.losers or self.pairing or ())


def inputs_of(batch: Any) -> dict[str, Any]:
    """The arguments of the model in a batch, with labels.

    Raises:
        MergeMixError: If there are no labels.
    """
    if not isinstance(batch, Mapping):
        raise wrong("batch", Words(f"a {type(batch).__name__}"), "a dictionary of the model's arguments, with labels")
    check_tensor(LABELS, batch.get(LABELS), ("B", "L"), "integer")
    return {name: value for name, value in batch.items() if name not in (*EXTRAS, LOSERS)}


def examples_of(batch: Mapping[str, Any], token: int | None, tokenizer: Any, needs_text: bool) -> list[Example]:
    """What a batch says of each of its questions.

    Args:
        batch: Arguments of the model with plain images (images, C, H, W), and maybe columns ``image_id``, ``answer``
            and ``about``.
        token: The token that stands for images in prompts; None where nobody knows it.
        tokenizer: Reads answers from labels.
        needs_text: Whether answers have to be read as text.

    Raises:
        MergeMixError: If images are not plain, do not fit the prompts, or answers cannot be read.
    """
    rows = len(batch[LABELS])
    answers = read_column(batch, ANSWER, rows)
    if answers is None:
        check_readable(tokenizer, needs_text)
        answers = list(read_answers(batch[LABELS], tokenizer))
    numbers = find_images(batch, rows, token)
    images = None if all(number is None for number in numbers) else plain_images(batch)
    own = [None if images is None or number is None else images[number] for number in numbers]
    pictures = read_column(batch, IMAGE_ID, rows) or _pictures(images, numbers)
    check_ids(pictures)
    about = read_column(batch, ABOUT, rows) or [None] * rows
    return [Example(*each) for each in zip(own, pictures, answers, about, strict=True)]


def losers_of(paired: PairedBatch, images: Tensor, ratio: Tensor, token: int | None) -> Losers:
    """The rows of a batch that have a loser, with mixed images in place of their own.

    Args:
        paired: The batch, with its pairing.
        images: (n, C, H, W), of the pairs.
        ratio: (n,).
        token: As in `examples_of`.

    Raises:
        MergeMixError: If an argument of the model has neither a row for each prompt nor one for each image.
    """
    rows = [] if paired.pairing is None else list(paired.pairing.rows)
    numbers = find_images(paired.inputs, len(paired.labels), token)
    taken = take_rows(paired.inputs, rows, [number for row in rows if (number := numbers[row]) is not None], images)
    labels = taken.pop(LABELS)
    return Losers(taken, labels, torch.tensor(rows, device=labels.device), ratio)


def _pictures(images: Tensor | None, numbers: list[int | None]) -> list[Hashable]:
    pictures = [] if images is None else read_pictures(list(images))
    return [None if number is None else pictures[number] for number in numbers]
