"""Each question has its records, and trainings have a time."""

from __future__ import annotations

import pytest

from benchmarks.results_page import RESULTS
from benchmarks.study.arms import ARMS
from benchmarks.study.questions import QUESTIONS, Question, time_of
from benchmarks.study.sweep import trials_in
from benchmarks.study.tasks import TASKS

COSTS = [{"key": ["digits", "mergemix", [["prob", 0.5]], "cpu", 1], "cost": [1.5, 1.4, 1.6]}]


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_a_question_names_what_exists(question: Question) -> None:
    assert question.task in TASKS and set(question.references) <= set(ARMS)
    tried = {(each["trial"]["task"], each["trial"]["method"]) for each in trials_in(RESULTS / question.file).read()}
    assert {(question.task, method) for method in question.references} <= tried


def test_the_time_of_a_training_is_in_epochs_of_the_reference() -> None:
    def group(method: str, **options: object) -> tuple[str, str, tuple[tuple[str, object], ...], str]:
        return "digits", method, tuple(sorted(options.items())), ""

    assert {time_of(group(name, prob=0.5), [{"epochs": 20}], COSTS) for name in ("none", "mixup", "timm")} == {20}
    assert time_of(group("mergemix", prob=0.5), [{"epochs": 20}], COSTS) == 30
    assert time_of(group("mergemix", epochs=10, prob=0.5), [{"epochs": 10}], COSTS) == 15
    assert time_of(group("mergemix"), [{"epochs": 20}], COSTS) is None
