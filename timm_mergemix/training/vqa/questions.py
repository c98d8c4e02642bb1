"""easy-VQA: questions about drawings of one coloured shape, and the shape and colour of each drawing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...errors import need
from .words import Words

__all__ = ["COLOURS", "SHAPES", "Drawing", "Question", "Questions", "is_right", "load_questions", "right_answer"]

SHAPES = ("circle", "rectangle", "triangle")
COLOURS = ("black", "blue", "brown", "gray", "green", "red", "teal", "yellow")


class Drawing(NamedTuple):
    """The shape and colour of a drawing as far as its questions reveal them, else None."""

    shape: str | None
    colour: str | None


class Question(NamedTuple):
    """A question.

    Attributes:
        text: The question in words.
        answer: The right answer, one word.
        image: Index of the drawing.
    """

    text: str
    answer: str
    image: int

    @property
    def is_open(self) -> bool:
        """Whether it is not answered by yes or no."""
        return self.answer not in ("yes", "no")


@dataclass(frozen=True)
class Questions:
    """Questions with their drawings.

    Attributes:
        items: The questions.
        images: (drawings, 3, H, W) uint8.
        drawings: The shape and colour of each drawing.
    """

    items: tuple[Question, ...]
    images: Tensor
    drawings: tuple[Drawing, ...]

    def __len__(self) -> int:
        return len(self.items)

    def part(self, low: int, high: int) -> Questions:
        """The questions about the drawings from ``low`` to below ``high``."""
        chosen = tuple(each._replace(image=each.image - low) for each in self.items if low <= each.image < high)
        return Questions(chosen, self.images[low:high], self.drawings[low:high])

    def take(self, rows: Sequence[int]) -> Questions:
        """The questions of some rows, with all drawings."""
        return Questions(tuple(self.items[row] for row in rows), self.images, self.drawings)

    def vocabulary(self) -> Words:
        """A tokenizer for the words of all questions and of all possible answers."""
        return Words([*(each.text for each in self.items), "yes no", *SHAPES, *COLOURS])


def is_right(own: Sequence[Any], other: Sequence[Any]) -> bool:
    """Whether the answer to a question about one drawing is right for another, or may be because it is unknown.

    Args:
        own: The question's text, its answer, and the drawing's shape and colour.
        other: The same values of another question, of which only the drawing matters.
    """
    found = right_answer(own[0], own[1], Drawing(*other[2:4]))
    return found is None or found == own[1]


def right_answer(text: str, answer: str, drawing: Drawing) -> str | None:
    """The right answer to a question for another drawing; None if it is unknown.

    Args:
        text: The question.
        answer: The right answer for its own drawing.
        drawing: The other drawing.
    """
    if answer in SHAPES:
        return drawing.shape
    if answer in COLOURS:
        return drawing.colour
    shown = _shows(drawing, _asked(text))
    return None if shown is None else ("yes" if shown != _is_negated(text) else "no")


def load_questions(split: str) -> Questions:
    """Loads the questions of easy-VQA from the package ``easy-vqa`` (Zhou, 2019, MIT licence).

    Args:
        split: ``"train"``: 38,575 questions about 4,000 drawings of 64 x 64 pixels; ``"test"``: 9,673 about 1,000.

    Raises:
        MergeMixError: If the package is missing.
    """
    package = need("easy_vqa", "the demonstration with questions", "vlm-demo")
    texts, answers, numbers = getattr(package, f"get_{split}_questions")()
    paths: Mapping[int, str] = getattr(package, f"get_{split}_image_paths")()
    pixels = [np.asarray(Image.open(paths[number]).convert("RGB")) for number in range(len(paths))]
    items = tuple(map(Question, texts, answers, numbers))
    images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous()
    return Questions(items, images, tuple(_drawings(items, len(pixels))))


def _drawings(items: Sequence[Question], count: int) -> list[Drawing]:
    """The shape and colour of each drawing, inferred from its questions."""
    found: list[set[str]] = [set() for _ in range(count)]
    for text, answer, image in items:
        found[image].add(answer)
        if answer not in ("yes", "no") or (answer == "yes") != _is_negated(text):
            found[image] |= set(_words(text))
    return [
        Drawing(*(next((word for word in kind if word in said), None) for kind in (SHAPES, COLOURS))) for said in found
    ]


def _shows(drawing: Drawing, word: str) -> bool | None:
    """Whether a drawing has a given shape or colour; None if it is unknown."""
    own = drawing.shape if word in SHAPES else drawing.colour
    return None if own is None else own == word


def _asked(text: str) -> str:
    """The shape or the colour that a question mentions."""
    return next(word for word in _words(text) if word in (*SHAPES, *COLOURS))


def _is_negated(text: str) -> bool:
    return bool({"not", "no"} & set(_words(text)))


def _words(text: str) -> list[str]:
    return text.replace("?", "").split()
