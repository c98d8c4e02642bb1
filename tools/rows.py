"""Results of a program as JSON lines, one a row, so that an interrupted one can go on."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO, TypeVar

Row = TypeVar("Row")


def read_rows(path: Path, kind: type[Row]) -> list[Row]:
    """The rows of an earlier run, none if there was no run. Lines that are no rows are left out: the last is often cut.

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
    """Appends a row, at once."""
    file.write(json.dumps(asdict(row)) + "\n")
    file.flush()
