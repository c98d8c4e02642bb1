"""Pictures by matplotlib: mixes, token merging, training. Each function returns a figure, ``savefig`` writes it."""

from .answers import AnswerRow, answer_grid, answers_by_ratio
from .merge import merge_grid, schedule_plot
from .mix import mix_grid
from .training import confidence_by_ratio, learning_curves, reliability_diagram

__all__ = [
    "AnswerRow",
    "answer_grid",
    "answers_by_ratio",
    "confidence_by_ratio",
    "learning_curves",
    "merge_grid",
    "mix_grid",
    "reliability_diagram",
    "schedule_plot",
]
