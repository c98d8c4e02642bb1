"""The questions that the page of results answers: which trials, and what they are compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..records import Record
from .cost import REFERENCE
from .groups import Group

__all__ = ["QUESTIONS", "Question", "time_of"]


# Mixing a batch these ways takes next to no time, so their steps cost the same.
ALIKE = ("none", "mixup", "cutmix", REFERENCE)


@dataclass(frozen=True)
class Question:
    """Trials of one task that answer a question.

    Attributes:
        name: Of the table and the picture.
        file: Of the records, in benchmarks/results.
        task: Name of the task.
        references: Methods over which gains are shown, seed by seed; the picture has those over the first.
        curves: Whether the picture shows accuracy against time in place of gains.
    """

    name: str
    file: str
    task: str
    references: tuple[str, ...]
    curves: bool = False


QUESTIONS = (
    Question("oracle", "drawings.jsonl", "openclipart-scratch", ("none", "cutmix", "random-patches")),
    Question("merged training", "merged.jsonl", "openclipart-168", ("timm",), curves=True),
    Question("two batches", "two_batches.jsonl", "fashion", ("mixup", "mixup-twice")),
)


def time_of(group: Group, records: Sequence[Record], costs: Sequence[Record]) -> float | None:
    """The time of a training in epochs of Mixup + CutMix; None if no cost of a step was recorded.

    Args:
        group: The method and its options.
        records: Its trials.
        costs: The records of `recorded_cost`.
    """
    task, method, options, _ = group
    epochs: int = records[0]["epochs"]
    if method in ALIKE:
        return float(epochs)
    own = [[name, value] for name, value in options if name != "epochs"]
    known: Mapping[str, float] = {str(each["key"][:3]): each["cost"][0] for each in costs}
    cost = known.get(str([task, method, own]))
    return None if cost is None else epochs * cost
