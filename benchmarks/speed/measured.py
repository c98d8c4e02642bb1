"""The measured results in two files of records; each record names its machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from timm_mergemix.errors import Words, wrong

from ..records import Record, Records
from .growth import Point
from .measure import Result

__all__ = ["GROWTH", "SPEED", "Measured", "load", "points_in", "results_in"]

SPEED, GROWTH = "speed.jsonl", "growth.jsonl"


class Measured(NamedTuple):
    """All results of one machine.

    Attributes:
        machine: Description of the machine, as `benchmarks.speed.report.machine` returns it.
        results: The table.
        points: The growth of the cost; may be empty.
    """

    machine: dict[str, Any]
    results: list[Result]
    points: list[Point]


def results_in(folder: Path) -> Records:
    """Returns the records of results in a folder."""
    return Records(folder / SPEED, ("row", "above", "below", "machine"), ("wanted", "ratio", "amounts", "unit"))


def points_in(folder: Path) -> Records:
    """Returns the records of points in a folder."""
    return Records(folder / GROWTH, ("size", "batch", "r", "machine"), ("tokens", "seconds"))


def load(folder: Path, machine: dict[str, Any] | None = None, r: str | None = None) -> Measured:
    """Reads the results of one machine from a folder, and its growth for one ``r``.

    Args:
        folder: Folder with both files, or only the first one.
        machine: Description of the machine; None if there is only one in the files.
        r: Token merging of the growth, in words; None if there is only one in the file.

    Raises:
        MergeMixError: If there are no results, or if a choice among several machines or ``r`` is missing.
    """
    results, points = results_in(folder).read(), points_in(folder).read()
    if machine is None:
        machine = _only(folder, [record["machine"] for record in (*results, *points)], "machine")
    own = _those_of(machine, points)
    if r is None and own:
        r = _only(folder, [record["r"] for record in own], "r of the growth")
    last = {(each.row, each.above, each.below): each for each in map(Result.of, _those_of(machine, results))}
    return Measured(machine, list(last.values()), [Point.of(record) for record in own if record["r"] == r])


def _those_of(machine: dict[str, Any], records: list[Record]) -> list[Record]:
    return [record for record in records if record["machine"] == machine]


def _only(folder: Path, found: list[Any], what: str) -> Any:
    different = [each for i, each in enumerate(found) if each not in found[:i]]
    if len(different) != 1:
        raise wrong(folder, Words(f"measurements with {len(different)} values of {what}"), "those with one value")
    return different[0]
