"""Batches of questions: the arguments of the model, the metadata of each question, and the losers."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from ..errors import Words, check_tensor, with_article, wrong
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
LOSERS = "losers"  # the key under which a batch brings losers that were made before the processor


@dataclass(frozen=True)
class Losers:
    """The mixes of a batch, ready for a model.

    Attributes:
        inputs: The arguments of the model, without labels.
        labels: (n, L) int64.
        rows: (n,) int64, for each loser the row of its clean image.
        ratio: (n,) float32, the share of each loser that is the clean image.
    """

    inputs: dict[str, Any]
    labels: Tensor
    rows: Tensor
    ratio: Tensor

    @classmethod
    def of(cls, values: Any) -> Losers | None:
        """Reads losers that a batch brings as a dictionary, which every loader can move to a device.

        Returns:
            The losers; None if there are none.

        Raises:
            MergeMixError: If it is not a dictionary of losers.
        """
        names = [field.name for field in fields(cls)]
        if not isinstance(values, Mapping) or set(values) != set(names):
            raise wrong(LOSERS, Words(with_article(type(values).__name__)), f"a dictionary of {', '.join(names)}")
        return cls(**values) if len(values["rows"]) else None

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class PairedBatch:
    """A batch whose partners are chosen.

    Attributes:
        inputs: The arguments of the model, with ``labels``.
        pairing: Which rows are mixed with which partners; None if the losers were made before.
        losers: The losers; None if they have yet to be made, or if there are none.
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
        raise wrong(
            "batch",
            Words(with_article(type(batch).__name__)),
            "a dictionary of the model's arguments, including labels",
        )
    check_tensor(LABELS, batch.get(LABELS), ("B", "L"), "integer")
    return {name: value for name, value in batch.items() if name not in (*EXTRAS, LOSERS)}


def examples_of(batch: Mapping[str, Any], token: int | None, tokenizer: Any, needs_text: bool) -> list[Example]:
    """Collects what a batch says about each of its questions.

    Args:
        batch: Arguments of the model with plain images (images, C, H, W), and optionally the columns ``image_id``,
            ``answer`` and ``about``.
        token: The token that stands for images in prompts; None if it is unknown.
        tokenizer: Tokenizer that decodes answers from labels.
        needs_text: Whether answers must be available as text.

    Raises:
        MergeMixError: If images are not plain or do not fit the prompts, or if answers cannot be read.
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
    """Takes the rows of a batch that have a loser, and replaces their images by the mixed ones.

    Args:
        paired: The batch, with its pairing.
        images: (n, C, H, W), the mixed images.
        ratio: (n,), the share of each that is the clean image.
        token: The token that stands for images in prompts; None if it is unknown.

    Raises:
        MergeMixError: If an argument of the model has neither one row per prompt nor one row per image.
    """
    rows = [] if paired.pairing is None else list(paired.pairing.rows)
    numbers = find_images(paired.inputs, len(paired.labels), token)
    taken = take_rows(paired.inputs, rows, [number for row in rows if (number := numbers[row]) is not None], images)
    labels = taken.pop(LABELS)
    return Losers(taken, labels, torch.tensor(rows, device=labels.device), ratio)


def _pictures(images: Tensor | None, numbers: list[int | None]) -> list[Hashable]:
    pictures = [] if images is None else read_pictures(list(images))
    return [None if number is None else pictures[number] for number in numbers]
