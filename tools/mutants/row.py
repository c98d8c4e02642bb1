"""What became of a fault, and the table of all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .equivalent import EQUIVALENT

__all__ = ["Row", "is_equivalent", "report", "score"]


@dataclass(frozen=True)
class Row:
    """What became of a fault.

    Attributes:
        source: Path of the source from the package.
        fault: The fault, in words.
        line: Of the source.
        killed: Whether a test failed.
    """

    source: str
    fault: str
    line: int
    killed: bool


def is_equivalent(row: Row) -> bool:
    """Whether the module does the same with the fault as without it."""
    return (row.source, row.fault) in EQUIVALENT


def score(rows: Iterable[Row]) -> float:
    """The share of faults that were found, of those that change what a module does; 1 where there are none."""
    found = [row.killed for row in rows if row.killed or not is_equivalent(row)]
    return sum(found) / len(found) if found else 1.0


def report(rows: Iterable[Row]) -> str:
    """A table of modules in Markdown, then each fault that no test found."""
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
