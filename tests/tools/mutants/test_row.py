"""The score ignores equivalent faults, and the report lists the faults that no test found."""

from __future__ import annotations

import pytest

from tools.mutants import row as module
from tools.mutants.row import Row, is_equivalent, report, score

FOUND = Row("a.py", "f: 1 -> 2", 7, killed=True)
MISSED = Row("a.py", "f: a < b -> a <= b", 8, killed=False)
SAME = Row("b.py", "g: 3 -> 4", 9, killed=False)


@pytest.fixture(autouse=True)
def one_is_equivalent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EQUIVALENT", {("b.py", "g: 3 -> 4"): "Nobody reads it."})


def test_equivalent_faults_do_not_count() -> None:
    assert [is_equivalent(row) for row in (FOUND, MISSED, SAME)] == [False, False, True]
    assert score([FOUND, MISSED, SAME]) == 0.5
    assert score([FOUND, SAME]) == 1.0
    assert score([SAME]) == 1.0


def test_a_fault_that_was_found_counts_even_if_listed_as_equivalent() -> None:
    assert score([Row("b.py", "g: 3 -> 4", 9, killed=True), MISSED]) == 0.5


def test_the_report_counts_per_module_and_lists_the_missed_faults() -> None:
    lines = report([SAME, MISSED, FOUND]).splitlines()
    assert lines[2:5] == ["| a.py | 2 | 1 | 0 | 1 |", "| b.py | 1 | 0 | 1 | 0 |", "| all | 3 | 1 | 1 | 1 |"]
    assert lines[6:] == ["found: 50.0 %", "- a.py, line 8, f: a < b -> a <= b"]
