"""Metadata of each question in a batch: its image, its answer, and which picture the image shows."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import Words, with_article, wrong
from .answers import IGNORED

__all__ = [
    "ABOUT",
    "ANSWER",
    "EXTRAS",
    "IMAGE_ID",
    "Example",
    "check_ids",
    "check_readable",
    "read_answers",
    "read_column",
    "read_pictures",
]

# The columns that a batch can have besides the arguments of the model.
IMAGE_ID, ANSWER, ABOUT = EXTRAS = ("image_id", "answer", "about")

_WIDTHS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class Example(NamedTuple):
    """A question with its image.

    Attributes:
        image: (C, H, W) tensor, or a PIL image; None unless there is exactly one image.
        picture: Identifier of the picture; equal for two questions about the same picture.
        answer: The answer as text, or as token ids if there is no tokenizer; empty if there is no answer.
        about: What the user knows about the question, passed to ``still_right`` of `ImageMixer`.
    """

    image: Any
    picture: Hashable
    answer: str | tuple[int, ...]
    about: Any = None

    @property
    def words(self) -> tuple[Any, ...]:
        """The words of the answer in lower case without punctuation, or its tokens if it is not text."""
        if isinstance(self.answer, str):
            return tuple(re.findall(r"\w+", self.answer.casefold()) or self.answer.split())
        return self.answer if isinstance(self.answer, tuple) else (self.answer,)


def read_column(batch: Mapping[str, Any], name: str, length: int) -> list[Any] | None:
    """Reads an entry of a batch with one value per row as a list; returns None if it is missing.

    Raises:
        MergeMixError: If it has a different number of values.
    """
    values = batch.get(name)
    if values is None:
        return None
    values = values.tolist() if isinstance(values, Tensor) else values
    if isinstance(values, str) or not isinstance(values, Sequence) or len(values) != length:
        raise wrong(name, values, f"a list of {length} values, one per row of the batch")
    return list(values)


def check_readable(tokenizer: Any, needs_text: bool) -> None:
    """Raises if answers are needed as text but there is no tokenizer to decode them.

    Args:
        tokenizer: The tokenizer of the labels, or None.
        needs_text: Whether text is needed, not only token ids.
    """
    if needs_text and tokenizer is None:
        wanted = "the tokenizer of the labels, which is needed to find questions answered by yes or no, or leave_out=()"
        raise wrong("tokenizer", None, wanted)


def read_answers(labels: Tensor, tokenizer: Any = None) -> list[str | tuple[int, ...]]:
    """Reads the answers of a batch, as text if there is a tokenizer, else as token ids.

    Args:
        labels: (B, L) int64, -100 for positions that are not tokens of the answer.
        tokenizer: Any object with a ``decode`` method like that of transformers.
    """
    rows = [tuple(token for token in row if token != IGNORED) for row in labels.tolist()]
    if tokenizer is None:
        return list(rows)
    return [tokenizer.decode(row, skip_special_tokens=True).strip() for row in rows]


def read_pictures(images: Sequence[Any]) -> list[Hashable]:
    """For each image, a (C, H, W) tensor or PIL image, a value that is equal only for equal pixels."""
    if images and all(isinstance(image, Tensor) for image in images):
        return _of_tensors(list(images))
    return [None if image is None else _of_one(image) for image in images]


def check_ids(values: Sequence[Any]) -> None:
    """Raises unless these values can identify pictures, which means that they are hashable."""
    for value in values:
        if not isinstance(value, Hashable):
            raise wrong(IMAGE_ID, value, "numbers or strings")


def _of_one(image: Any) -> Hashable:
    if isinstance(image, Tensor):
        return _of_tensors([image])[0]
    if not hasattr(image, "tobytes"):
        raise wrong("images", Words(with_article(type(image).__name__)), "PIL images or tensors")
    palette = bytes(image.getpalette() or ()) if image.mode == "P" else b""
    return image.size, image.mode, blake2b(image.tobytes() + palette).hexdigest()


def _of_tensors(images: list[Tensor]) -> list[Hashable]:
    """An integer hash: each value's bits times its own weight, summed; exact in any order, so equal on every device."""
    if len({(image.shape, image.dtype) for image in images}) > 1:
        return [_of_tensors([image])[0] for image in images]
    pixels = torch.stack(images).detach().flatten(1).contiguous()
    bits = pixels.view(_WIDTHS[pixels.element_size()]).long()
    generator = torch.Generator().manual_seed(0)
    weights = torch.randint(-(2**63), 2**63 - 1, (bits.shape[1],), generator=generator).to(bits.device)
    return [(tuple(images[0].shape), value) for value in (bits * weights).sum(dim=1).tolist()]
