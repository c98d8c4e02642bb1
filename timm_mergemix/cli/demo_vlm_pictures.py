"""The pictures of the demo with questions."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest

import torch
from torch import Tensor

from ..training.vqa.data import VqaData
from ..training.vqa.measure import MixedAnswers
from ..training.vqa.questions import Drawing, Question, right_answer
from ..viz import AnswerRow, answer_grid, answers_by_ratio
from .pictures import Picture

__all__ = ["draw_answers"]

ROWS = 6
QUESTIONS = (
    "Questions",
    "Test questions, and how the model that was trained with the preference answers them for the clean image and for "
    "its mix. The first answer is right for the clean image, the second for the picture that was mixed in.",
)
CONFIDENCE = (
    "Confidence and mixing ratio",
    "The less of an image its mix shows, the less probable its answer should be. Each point is a test question.",
)


def draw_answers(mixed: Mapping[str, MixedAnswers], data: VqaData) -> list[Picture]:
    """Questions with their winners and losers as the second arm answers them, and the curves of all arms.

    Args:
        mixed: Title of an arm -> what its model says to mixes.
        data: The questions.
    """
    shown = list(mixed.values())[min(1, len(mixed) - 1)]
    curves = {name: (each.ratio, each.of_answer()[1].exp()) for name, each in mixed.items()}
    rows = _rows(shown, data)
    pictures = [Picture("questions", answer_grid(rows), *QUESTIONS)] if rows else []
    return [*pictures, Picture("confidence", answers_by_ratio(curves), *CONFIDENCE)]


def _rows(mixed: MixedAnswers, data: VqaData) -> list[AnswerRow]:
    """The first questions of which both answers are known, open ones and others in turn."""
    found: dict[bool, list[AnswerRow]] = {True: [], False: []}
    for place, number in enumerate(mixed.numbers.tolist()):
        question: Question = data.test.questions.items[number]
        other = right_answer(question.text, question.answer, Drawing(*mixed.partners[place][2:4]))
        if other is not None and len(found[question.is_open]) < ROWS // 2:
            found[question.is_open].append(_row(mixed, place, question, other, data))
    return [row for pair in zip_longest(*found.values()) for row in pair if row is not None]


def _row(mixed: MixedAnswers, place: int, question: Question, other: str, data: VqaData) -> AnswerRow:
    answers = {}
    for word in (question.answer, other):
        (token,) = data.words.encode(word)
        answers[word] = (mixed.winner[place, token].exp().item(), mixed.loser[place, token].exp().item())
    winner = data.test.questions.images[question.image]
    return AnswerRow(question.text, winner, _pixels(mixed.images[place], data), mixed.ratio[place].item(), answers)


def _pixels(image: Tensor, data: VqaData) -> Tensor:
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (data.statistics.mean, data.statistics.std))
    return (image * std + mean).clamp(0, 1)
