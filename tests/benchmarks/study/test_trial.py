"""The circumstances of a trial identify its task, arm and weights; those of committed records are current."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.study import tasks
from benchmarks.study.places import Places
from benchmarks.study.trial import Trial, circumstances

from . import made


def test_circumstances_change_with_task_arm_and_weights(
    stripes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial, before = Trial(stripes, "mergemix"), circumstances(Trial(stripes, "mergemix"))
    assert before == circumstances(Trial(stripes, "mergemix", 5, (("lr", 1.0),), True))
    (tmp_path / "weights").write_bytes(b"1")
    assert before != circumstances(trial, Places(tmp_path / "weights"))
    for change in (
        {"optimisation": replace(made.TASK.optimisation, lr=3.0)},
        {"amp": True},
        {"set_up": made.Stripes([25])},
    ):
        monkeypatch.setitem(tasks.TASKS, stripes, replace(made.TASK, **change))
        assert before != circumstances(trial)


@pytest.mark.parametrize("name", tasks.TASKS)
def test_circumstances_of_every_task_are_plain_values(name: str) -> None:
    assert circumstances(Trial(name, "mergemix"))


@pytest.mark.parametrize(
    ("task", "method", "digest"),
    [("fashion", "none", "218bf865"), ("fashion", "mixup", "d7554586")],
)
def test_committed_records_have_the_current_circumstances(task: str, method: str, digest: str) -> None:
    assert circumstances(Trial(task, method)) == digest
