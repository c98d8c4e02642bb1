"""The final report of the matrix: one line per setting, one column per script."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from .row import Row

SHORT = {"not in this script": "-"}


def report(rows: Iterable[Row]) -> str:
    """Returns a Markdown table, then the failures, then what the scripts cannot run themselves."""
    rows = list(rows)
    parts = [_table(rows), _counts(rows), _notes(rows, "fail"), _notes(rows, "not in this script")]
    return "\n\n".join(part for part in parts if part)


def _table(rows: list[Row]) -> str:
    scripts = list(dict.fromkeys(row.script for row in rows))
    found = {(row.setting, row.script): row for row in rows}
    lines = ["| setting | compared | " + " | ".join(scripts) + " |", "|---" * (2 + len(scripts)) + "|"]
    for setting, compared in {row.setting: row.compared for row in rows}.items():
        cells = [_cell(found.get((setting, script))) for script in scripts]
        lines.append(f"| {setting} | {compared} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(row: Row | None) -> str:
    return "" if row is None else SHORT.get(row.status, row.status)


def _counts(rows: list[Row]) -> str:
    lines = []
    for script in dict.fromkeys(row.script for row in rows):
        counts = Counter(row.status for row in rows if row.script == script)
        lines.append(f"{script}: " + ", ".join(f"{number} {status}" for status, number in sorted(counts.items())))
    return "\n".join(lines)


def _notes(rows: list[Row], status: str) -> str:
    lines = [f"- {row.script}, {row.setting}: {row.note}" for row in rows if row.status == status]
    return "\n".join([f"{status}:\n", *lines]) if lines else ""
