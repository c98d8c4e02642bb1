"""Questions for training and for tests, as batches of one vocabulary."""

from __future__ import annotations

from dataclasses import dataclass

from ..images import Statistics
from .batches import QuestionBatches
from .questions import Questions
from .words import Words

__all__ = ["VqaData", "prepare_data"]


@dataclass(frozen=True)
class VqaData:
    """Questions for training and for tests, as batches.

    Attributes:
        words: The tokens.
        train: For training.
        test: For tests.
        statistics: Of the images that are trained on.
    """

    words: Words
    train: QuestionBatches
    test: QuestionBatches
    statistics: Statistics

    @property
    def size(self) -> int:
        """Height and width of the images."""
        return self.train.images.shape[-1]


def prepare_data(train: Questions, test: Questions, places: int) -> VqaData:
    """Batches of questions for training and tests.

    Args:
        train: For training.
        test: For tests; their words are among those of training.
        places: Places of an image in a prompt.
    """
    words, statistics = train.vocabulary(), Statistics.of(train.images)
    return VqaData(
        words,
        QuestionBatches(train, words, places, statistics),
        QuestionBatches(test, words, places, statistics),
        statistics,
    )
