"""The results of a program as JSON lines, one per row, so that an interrupted program can be resumed."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO, TypeVar

Row = TypeVar("Row")


def read_rows(path: Path, kind: type[Row]) -> list[Row]:
    """Returns the rows of an earlier run, if any. Invalid lines are skipped, because the last one is often incomplete.

    Args:
        path: The file that `write_row` wrote.
        kind: The dataclass of a row.
    """
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append(kind(**json.loads(line)))
        except (json.JSONDecodeError, TypeError):
            continue
    return rows


def write_row(file: TextIO, row: Any) -> None:
    """Appends a row to the file immediately."""
    file.write(json.dumps(asdict(row)) + "\n")
    file.flush()
