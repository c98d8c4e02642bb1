"""The table sums over families, and the list below it names what stayed broken in which family."""

from __future__ import annotations

from tools.interrupts.row import Row, report

ROWS = [
    Row("vit", "patch", "instruction", 10, 1, {"different modes": 2}),
    Row("cait", "patch", "instruction", 5, 2, {}, {"unpatch: class": 3}, 1),
    Row("vit", "patch", "signal", 4),
]


def test_each_operation_and_way_has_a_line() -> None:
    lines = report(ROWS).splitlines()
    assert lines[2:4] == ["| patch | instruction | 15 | 3 | 2 | 3 | 1 |", "| patch | signal | 4 | 0 | 0 | 0 | 0 |"]
    assert lines[-3:] == ["broken:", "", "- patch, cait, instruction: 3 x unpatch: class"]


def test_a_model_that_the_next_patch_repairs_is_right() -> None:
    assert [row.is_right() for row in ROWS] == [True, False, True]


def test_refusals_are_listed_once_and_failures_are_not_right() -> None:
    refused = [Row("cait", "scaled", way, refused="one size") for way in ("instruction", "signal")]
    assert all(row.is_right() for row in refused)
    assert report(refused).count("- scaled, cait: one size") == 1
    failed = Row("vit", failure="did not end")
    assert not failed.is_right()
    assert report([failed]).endswith("failed:\n\n- vit: did not end")
