"""The final report of the census."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from .names import PLAIN
from .row import Row

COUNTED = ("right", "refused", "failed")


def report(rows: Iterable[Row]) -> str:
    """Returns a table by class, refusals by reason, failures by name, and notes."""
    rows = sorted((row for row in rows if row.status != "not plain"), key=lambda row: row.name)
    parts = [_table(rows), _refusals(rows), _failures(rows), _notes(rows)]
    return "\n\n".join(part for part in parts if part)


def _table(rows: list[Row]) -> str:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        counts[row.cls or "not built"][row.status] += 1
        counts["all"][row.status] += 1
    order = sorted(counts, key=lambda cls: [*PLAIN, "not built", "all"].index(cls))
    lines = [f"{'class':28} {'right / all':>13} {'refused':>8} {'failed':>7}"]
    for cls in order:
        right, refused, failed = (counts[cls][status] for status in COUNTED)
        lines.append(f"{cls:28} {f'{right} / {counts[cls].total()}':>13} {refused:8} {failed:7}")
    return "\n".join(lines)


def _refusals(rows: list[Row]) -> str:
    names = defaultdict(list)
    for row in rows:
        if row.status == "refused":
            names[row.reason].append(row.name)
    return "\n".join(["refused:", *_grouped(names)]) if names else ""


def _failures(rows: list[Row]) -> str:
    names = defaultdict(list)
    for row in rows:
        for check, message in row.failures.items():
            names[f"{check}: {message}"].append(row.name)
    return "\n".join(["failed:", *_grouped(names)]) if names else ""


def _notes(rows: list[Row]) -> str:
    names = defaultdict(list)
    for row in rows:
        for check, message in row.notes.items():
            names[f"{check}: {message}"].append(row.name)
    return "\n".join(["right, with a note:", *_grouped(names)]) if names else ""


def _grouped(names: dict[str, list[str]]) -> list[str]:
    return [f"  {reason}\n    {len(found)}: {', '.join(found)}" for reason, found in names.items()]
