"""Turns questions into batches of model arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...vlm.answers import IGNORED
from ..images import Statistics
from .questions import Questions
from .words import BEGIN, IMAGE, PAD, Words

__all__ = ["QuestionBatches", "columns"]


class QuestionBatches:
    """Makes batches of questions, as a collator does: indices of questions -> arguments of the model.

    A prompt consists of a begin token, the image tokens, the words of the question, and the answer. Only the answer has
    a label. Shorter prompts are padded on the right.

    Args:
        questions: The questions.
        words: Tokenizer for the words of questions and answers.
        places: Number of image tokens in a prompt.
        statistics: Mean and standard deviation with which images are normalised.
    """

    def __init__(self, questions: Questions, words: Words, places: int, statistics: Statistics) -> None:
        self.questions = questions
        self.words = words
        self.prompts = [[BEGIN, *[IMAGE] * places, *words.encode(f"{q.text} {q.answer}")] for q in questions.items]
        self.images = statistics.normalize(questions.images.float().div(255))

    def __call__(self, numbers: Sequence[int]) -> dict[str, Any]:
        """Makes the batch of some questions, including the columns for the mixer."""
        prompts = [self.prompts[number] for number in numbers]
        items = [self.questions.items[number] for number in numbers]
        longest = max(map(len, prompts))
        padded = [prompt + [PAD] * (longest - len(prompt)) for prompt in prompts]
        ids, mask = torch.tensor(padded), torch.arange(longest) < columns(prompts)[:, None] + 1
        labels = torch.full_like(ids, IGNORED)
        rows = torch.arange(len(ids))
        labels[rows, columns(prompts)] = ids[rows, columns(prompts)]
        pictures = torch.tensor([item.image for item in items])
        return {
            "input_ids": ids,
            "attention_mask": mask.long(),
            "pixel_values": self.images[pictures],
            "labels": labels,
            "image_id": pictures,
            "about": [(item.text, item.answer, *self.questions.drawings[item.image]) for item in items],
        }

    def __len__(self) -> int:
        return len(self.prompts)


def columns(prompts: Sequence[Sequence[int]]) -> Tensor:
    """The position of each prompt's last token, which is its answer, (n,) int64."""
    return torch.tensor([len(prompt) - 1 for prompt in prompts])
