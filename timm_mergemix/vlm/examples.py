"""What is known of each question of a batch: its image, its answer, and which picture that image shows."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import Words, wrong
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

# What a batch can hold beside the arguments of the model.
IMAGE_ID, ANSWER, ABOUT = EXTRAS = ("image_id", "answer", "about")

_WIDTHS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class Example(NamedTuple):
    """A question with its image.

    Attributes:
        image: (C, H, W) tensor, or a PIL image; None where there is not just one.
        picture: Which picture that is: equal for two questions about the same one.
        answer: The answer as text, or as token ids where nothing reads them; empty where there is none.
        about: What the user knows of it, for `ImageMixer.still_right`.
    """

    image: Any
    picture: Hashable
    answer: str | tuple[int, ...]
    about: Any = None

    @property
    def words(self) -> tuple[Any, ...]:
        """The words of the answer in small letters, without punctuation; its tokens where it is no text."""
        if isinstance(self.answer, str):
            return tuple(re.findall(r"\w+", self.answer.casefold()) or self.answer.split())
        return self.answer if isinstance(self.answer, tuple) else (self.answer,)


def read_column(batch: Mapping[str, Any], name: str, length: int) -> list[Any] | None:
    """An entry of a batch that has a value for each row, as a list; None where it is missing.

    Raises:
        MergeMixError: If it has another number of values.
    """
    values = batch.get(name)
    if values is None:
        return None
    values = values.tolist() if isinstance(values, Tensor) else values
    if isinstance(values, str) or not isinstance(values, Sequence) or len(values) != length:
        raise wrong(name, values, f"a list of {length} values, one for each row of the batch")
    return list(values)


def check_readable(tokenizer: Any, needs_text: bool) -> None:
    """Raises unless answers can be read from labels as they have to be.

    Args:
        tokenizer: Reads them as text; None where there is none.
        needs_text: Whether token ids are not enough.
    """
    if needs_text and tokenizer is None:
        wanted = "the tokenizer of the labels, by which questions answered by yes or no are found; or leave_out=()"
        raise wrong("tokenizer", None, wanted)


def read_answers(labels: Tensor, tokenizer: Any = None) -> list[str | tuple[int, ...]]:
    """The answers of a batch: as text where there is a tokenizer, else as token ids.

    Args:
        labels: (B, L) int64, -100 for what is no token of the answer.
        tokenizer: Any object with transformers' ``decode``.
    """
    rows = [tuple(token for token in row if token != IGNORED) for row in labels.tolist()]
    if tokenizer is None:
        return list(rows)
    return [tokenizer.decode(row, skip_special_tokens=True).strip() for row in rows]


def read_pictures(images: Sequence[Any]) -> list[Hashable]:
    """For each image, (C, H, W) tensors or PIL images, a value that is equal for equal pixels alone."""
    if images and all(isinstance(image, Tensor) for image in images):
        return _of_tensors(list(images))
    return [None if image is None else _of_one(image) for image in images]


def check_ids(values: Sequence[Any]) -> None:
    """Raises unless pictures can be told apart by these values."""
    for value in values:
        if not isinstance(value, Hashable):
            raise wrong(IMAGE_ID, value, "numbers or words")


def _of_one(image: Any) -> Hashable:
    if isinstance(image, Tensor):
        return _of_tensors([image])[0]
    if not hasattr(image, "tobytes"):
        raise wrong("images", Words(f"a {type(image).__name__}"), "PIL images or tensors")
    palette = bytes(image.getpalette() or ()) if image.mode == "P" else b""
    return image.size, image.mode, blake2b(image.tobytes() + palette).hexdigest()


def _of_tensors(images: list[Tensor]) -> list[Hashable]:
    """A sum of the bits, each with a weight of its own: exact in any order, so the same on every device."""
    if len({(image.shape, image.dtype) for image in images}) > 1:
        return [_of_tensors([image])[0] for image in images]
    pixels = torch.stack(images).detach().flatten(1).contiguous()
    bits = pixels.view(_WIDTHS[pixels.element_size()]).long()
    generator = torch.Generator().manual_seed(0)
    weights = torch.randint(-(2**63), 2**63 - 1, (bits.shape[1],), generator=generator).to(bits.device)
    return [(tuple(images[0].shape), value) for value in (bits * weights).sum(dim=1).tolist()]
