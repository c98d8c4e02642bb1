"""easy-VQA: questions about drawings of one coloured shape, and what is true of each drawing."""

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
    """What the questions say of a drawing; None for what they leave open."""

    shape: str | None
    colour: str | None


class Question(NamedTuple):
    """A question.

    Attributes:
        text: In words.
        answer: One word.
        image: Number of the drawing.
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
        drawings: What is on each.
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
        """Some of the questions."""
        return Questions(tuple(self.items[row] for row in rows), self.images, self.drawings)

    def vocabulary(self) -> Words:
        """The words of all questions and of all answers that there can be."""
        return Words([*(each.text for each in self.items), "yes no", *SHAPES, *COLOURS])


def is_right(own: Sequence[Any], other: Sequence[Any]) -> bool:
    """Whether the answer to a question about one drawing is right for another, or may be, where nobody knows.

    Args:
        own: The question's text, its answer, and the drawing's shape and colour.
        other: The same of another question, whose drawing counts.
    """
    found = right_answer(own[0], own[1], Drawing(*other[2:4]))
    return found is None or found == own[1]


def right_answer(text: str, answer: str, drawing: Drawing) -> str | None:
    """What is right for another drawing; None where nobody knows.

    Args:
        text: The question.
        answer: What is right for its own drawing.
        drawing: The other one.
    """
    if answer in SHAPES:
        return drawing.shape
    if answer in COLOURS:
        return drawing.colour
    shown = _shows(drawing, _asked(text))
    return None if shown is None else ("yes" if shown != _is_negated(text) else "no")


def load_questions(split: str) -> Questions:
    """The questions of easy-VQA, from the package of that name (Zhou, 2019, MIT licence).

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
    """What the questions say of each drawing."""
    found: list[set[str]] = [set() for _ in range(count)]
    for text, answer, image in items:
        found[image].add(answer)
        if answer not in ("yes", "no") or (answer == "yes") != _is_negated(text):
            found[image] |= set(_words(text))
    return [
        Drawing(*(next((word for word in kind if word in said), None) for kind in (SHAPES, COLOURS))) for said in found
    ]


def _shows(drawing: Drawing, word: str) -> bool | None:
    """Whether a drawing has a shape or a colour; None where nobody knows."""
    own = drawing.shape if word in SHAPES else drawing.colour
    return None if own is None else own == word


def _asked(text: str) -> str:
    """The shape or the colour that a question asks for."""
    return next(word for word in _words(text) if word in (*SHAPES, *COLOURS))


def _is_negated(text: str) -> bool:
    return bool({"not", "no"} & set(_words(text)))


def _words(text: str) -> list[str]:
    return text.replace("?", "").split()
