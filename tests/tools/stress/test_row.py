"""The table has one line per family, followed by the faults by kind."""

from __future__ import annotations

import pytest

from tools.stress.row import HEAD, Row, report

RIGHT = Row("vit", calls=8, task_calls=2, ratio=1.5)


def test_a_right_row_is_a_line_of_zeros() -> None:
    assert RIGHT.is_right()
    lines = report([RIGHT]).splitlines()
    assert len(lines) == 3
    assert lines[2] == "| vit | 0 | 8 | 0 | 0 | 0 | 2 | 0 | 0 | 0 | 1.50 |"


@pytest.mark.parametrize("count", ["wrong", "errors", "task_wrong", "task_errors", "alone", "after"])
def test_each_count_makes_a_row_wrong_and_is_listed(count: str) -> None:
    row = Row("vit", **{count: {"record": 2, "merging": 3}})
    assert not row.is_right()
    assert "3 x merging; 2 x record" in report([row])
    assert " | 5 | " in report([row]).splitlines()[2]


def test_eval_mode_and_a_failure_are_wrong() -> None:
    assert not Row("vit", evaluated=1).is_right()
    failed = Row("vit", failure="did not end in 5 s")
    assert not failed.is_right()
    line = report([failed]).splitlines()[2]
    assert "did not end in 5 s" in line and line.count("|") == len(HEAD) + 1


def test_refusals_are_listed_but_not_errors() -> None:
    row = Row("held", refused=["saliency: no grid"])
    assert row.is_right()
    assert report([row]).endswith("refused:\n\n- held\n  - saliency: no grid")
