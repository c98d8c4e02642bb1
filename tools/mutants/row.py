"""The result for one fault, and the table of all results."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .equivalent import EQUIVALENT

__all__ = ["Row", "is_equivalent", "report", "score"]


@dataclass(frozen=True)
class Row:
    """The result for one fault.

    Attributes:
        source: Path of the source relative to the package.
        fault: Description of the fault.
        line: Line number in the source.
        killed: Whether a test failed.
    """

    source: str
    fault: str
    line: int
    killed: bool


def is_equivalent(row: Row) -> bool:
    """Whether the fault is known to change nothing."""
    return (row.source, row.fault) in EQUIVALENT


def score(rows: Iterable[Row]) -> float:
    """The share of the non-equivalent faults that were found; 1 if there are none."""
    found = [row.killed for row in rows if row.killed or not is_equivalent(row)]
    return sum(found) / len(found) if found else 1.0


def report(rows: Iterable[Row]) -> str:
    """Returns a Markdown table of modules, then each fault that no test found."""
    rows = list(rows)
    lines = ["| module | faults | found | equivalent | left |", "| --- | ---: | ---: | ---: | ---: |"]
    for source in sorted({row.source for row in rows}):
        lines.append(_line(source, [row for row in rows if row.source == source]))
    lines.append(_line("all", rows))
    missed = [row for row in rows if not row.killed and not is_equivalent(row)]
    left = [f"- {row.source}, line {row.line}, {row.fault}" for row in missed]
    return "\n".join([*lines, "", f"found: {100 * score(rows):.1f} %", *left])


def _line(name: str, rows: list[Row]) -> str:
    killed = sum(row.killed for row in rows)
    equivalent = sum(not row.killed and is_equivalent(row) for row in rows)
    return f"| {name} | {len(rows)} | {killed} | {equivalent} | {len(rows) - killed - equivalent} |"
