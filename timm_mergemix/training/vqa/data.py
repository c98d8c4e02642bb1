"""Questions for training and testing, as batches with a shared vocabulary."""

from __future__ import annotations

from dataclasses import dataclass

from ..images import Statistics
from .batches import QuestionBatches
from .questions import Questions
from .words import Words

__all__ = ["VqaData", "prepare_data"]


@dataclass(frozen=True)
class VqaData:
    """Questions for training and testing, as batches.

    Attributes:
        words: The tokenizer.
        train: Batches for training.
        test: Batches for testing.
        statistics: Mean and standard deviation of the training images.
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
    """Prepares batches of questions for training and testing.

    Args:
        train: Questions for training.
        test: Questions for testing; all of their words must occur in those for training.
        places: Number of image tokens in a prompt.
    """
    words, statistics = train.vocabulary(), Statistics.of(train.images)
    return VqaData(
        words,
        QuestionBatches(train, words, places, statistics),
        QuestionBatches(test, words, places, statistics),
        statistics,
    )
