"""Each row is in the table once, and its steps have the names that are compared."""

from __future__ import annotations

import pytest
import torch

from benchmarks.speed.merging import over_ideal
from benchmarks.speed.mixing import Pass, mixing, unmerged_step, whole_step
from benchmarks.speed.preference import preference_step
from benchmarks.speed.row import Row
from benchmarks.speed.rows import all_rows
from benchmarks.speed.steps import Setting

CPU = torch.device("cpu")
SMALL = Setting("test_vit", 2, 3, size=64)


def test_names_are_unique() -> None:
    names = [row.name for row in all_rows(CPU)]
    assert len(set(names)) == len(names) == 22
    assert sum("saliency pass r=keep:0.5 at 0.5 of the size" in name for name in names) == 4
    again = [row.name for row in all_rows(CPU, 16)]
    assert len(set(again)) == len(again)


@pytest.mark.parametrize(
    "row",
    [
        over_ideal("inference", SMALL, 1.1),
        over_ideal("inference", SMALL._replace(autocast=True), None),
        over_ideal("training", SMALL, None),
        whole_step(SMALL, Pass(("decreasing", 2)), None),
        unmerged_step(SMALL, Pass(("keep", 0.5), 0.5), None),
        mixing(CPU, "elem", None),
        preference_step(SMALL),
        preference_step(SMALL._replace(autocast=True)),
    ],
    ids=lambda row: row.name,
)
def test_steps_run_and_have_the_names_that_are_compared(row: Row) -> None:
    steps = row.make()
    for step in steps.values():
        step()
    for comparison in row.comparisons:
        assert {comparison.above, comparison.below} <= set(steps)
