"""Each fault changes one thing in executed code and describes the change."""

from __future__ import annotations

import ast

import pytest

from tools.mutants.faults import Fault, faults_in, with_fault

SOURCE = '''
"""Words with 1 number."""

from typing import Any

__all__ = ["grade"]
LIMIT: int = 3


class Grader:
    """Grades."""

    def grade(self, value: "list[1]", low: float = 0.5) -> Any:
        """Returns 1."""
        check(value)
        if not value.any() and low < LIMIT:
            return value.sum() * -low + 2
        return f"{value} is" + " 7"
'''


def said(source: str) -> list[str]:
    return [str(fault) for fault in faults_in(source)]


def test_only_executed_code_is_changed() -> None:
    place = "Grader.grade"
    assert sorted(said(SOURCE)) == sorted(
        [
            "module: 3 -> 4",
            f"{place}: 0.5 -> 1.5",
            f"{place}: check(value) -> pass",
            f"{place}: if not value.any() and low < LIMIT -> if not (not value.any() and low < LIMIT)",
            f"{place}: not value.any() and low < LIMIT -> not value.any() or low < LIMIT",
            f"{place}: not value.any() -> value.any()",
            f"{place}: value.any -> value.all",
            f"{place}: low < LIMIT -> low <= LIMIT",
            f"{place}: value.sum() * -low + 2 -> value.sum() * -low - 2",
            f"{place}: value.sum() * -low -> value.sum() / -low",
            f"{place}: value.sum -> value.mean",
            f"{place}: -low -> low",
            f"{place}: 2 -> 3",
        ]
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a <= b", "a < b"),
        ("a >= b", "a > b"),
        ("a == b", "a != b"),
        ("a is b", "a is not b"),
        ("a in b", "a not in b"),
        ("a // b", "a * b"),
        ("a & b", "a | b"),
        ("a or b", "a and b"),
        ("x.min", "x.max"),
        ("x.max", "x.min"),
        ("True", "False"),
        ("b if a else c", "b if not a else c"),
    ],
)
def test_each_kind_of_replacement_is_made(before: str, after: str) -> None:
    assert said(f"found = {before}") == [f"module: {before} -> {after}"]


def test_line_numbers_are_those_of_the_source() -> None:
    assert faults_in("a = b\n\nc = d + e") == [Fault("", 3, "d + e", "d - e")]


def test_each_fault_gives_a_valid_program_that_differs_in_one_place() -> None:
    whole = ast.unparse(ast.parse(SOURCE))
    programs = [ast.unparse(with_fault(SOURCE, number)) for number in range(len(faults_in(SOURCE)))]
    assert len({whole, *programs}) == len(programs) + 1
    for program in programs:
        compile(program, "program", "exec")
        differing = [one for one, other in zip(whole.splitlines(), program.splitlines(), strict=True) if one != other]
        assert len(differing) == 1


def test_a_fault_does_what_its_description_says() -> None:
    source = "def of(x):\n    return x + 1"
    results = []
    for number in range(len(faults_in(source))):
        names: dict[str, object] = {}
        exec(compile(with_fault(source, number), "source", "exec"), names)
        results.append(names["of"](5))  # type: ignore[operator]
    assert results == [4, 7]


def test_a_number_beyond_the_last_fault_is_an_error() -> None:
    with pytest.raises(IndexError, match="there is no fault 1"):
        with_fault("a = b + c", 1)
