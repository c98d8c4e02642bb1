"""The report counts tests that ran on both sides with a model to patch, and lists the differences."""

from tools.peers.report import pairs, report
from tools.peers.row import Row


def row(side: str, name: str, outcome: str, models: int = 1, message: str = "") -> Row:
    return Row("timm", side, f"test_models.py::{name}", outcome, models, message)


def test_tests_of_one_side_or_without_a_model_are_not_counted() -> None:
    rows = [row("unpatched", "test_a", "passed"), row("unpatched", "test_b", "passed", 0)]
    assert pairs([*rows, row("patched", "test_b", "passed", 0)]) == []


def test_the_last_outcome_counts_and_differences_are_named() -> None:
    rows = [row("unpatched", f"test_a[{i}]", "passed") for i in (1, 2)]
    rows += [row("patched", "test_a[1]", "passed"), row("patched", "test_a[2]", "passed")]
    assert not any(pair.differs for pair in pairs(rows))
    text = report(pairs([*rows, row("patched", "test_a[2]", "failed", message="Error: no")]))
    assert "| timm | test_models.py::test_a | 2 / 0 / 0 | 1 / 1 / 0 | 1 |" in text
    assert "| timm | test_models.py | 2 / 0 / 0 | 1 / 1 / 0 | 1 |" in text
    assert "- timm: passed unpatched, failed patched: Error: no\n  1: test_models.py::test_a[2]" in text
