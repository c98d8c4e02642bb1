"""The plugin names tests without their folders and reports why they did not pass."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tools.peers.plan import Plan
from tools.peers.plugin import Session, outcome, short
from tools.peers.row import Row
from tools.rows import read_rows

PLAN = Plan("timm", "patched", [], ["*"], [], "")


def report(result: str, said: object) -> pytest.TestReport:
    properties = [("models", 1)]
    return pytest.TestReport(
        "../tests/test_models.py::test_a[x::y]", ("", 0, ""), {}, result, said, "call", (), 1.234, 0.0, 0.0, properties
    )


def test_names_are_without_folders_but_with_parameters() -> None:
    assert short("../some/tests/test_a.py::Class::test_b[x/y::z]") == "test_a.py::Class::test_b[x/y::z]"


def test_an_outcome_has_the_first_line_of_the_message() -> None:
    name = "test_models.py::test_a[x::y]"
    assert outcome(PLAN, report("passed", None)) == Row("timm", "patched", name, "passed", 1, "", 1.23)
    assert outcome(PLAN, report("failed", "\nE: no\nmore")).message == "E: no"
    assert outcome(PLAN, report("skipped", ("test_a.py", 3, "Skipped: large"))).message == "Skipped: large"


@pytest.mark.parametrize(
    ("results", "wanted"),
    [
        (["passed", "passed"], "passed"),
        (["skipped", "passed"], "skipped"),
        (["skipped", "failed"], "failed"),
        (["failed", "skipped"], "failed"),
    ],
)
def test_a_test_has_one_outcome_which_is_the_worst_of_its_subtests(
    tmp_path: Path, results: list[str], wanted: str
) -> None:
    out = tmp_path / "out.jsonl"
    session = Session(replace(PLAN, out=str(out)), writes=True)
    for result in results:
        part = report(result, f"E: {result}")
        part.context = "a part"
        session.pytest_runtest_logreport(part)
    session.pytest_runtest_logreport(report("passed", None))
    (row,) = read_rows(out, Row)
    assert (row.outcome, row.message) == (wanted, "" if wanted == "passed" else f"E: {wanted}")
