"""Rows are read as they were written, even from a file with an incomplete last line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tools.rows import read_rows, write_row


@dataclass
class Made:
    """A row."""

    name: str
    notes: dict[str, str] = field(default_factory=dict)


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    rows, path = [Made("a"), Made("b", {"x": "y"})], tmp_path / "rows.jsonl"
    with path.open("w") as file:
        for row in rows:
            write_row(file, row)
    assert read_rows(path, Made) == rows


def test_incomplete_and_invalid_lines_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"name": "a"}\n{"other": 1}\n{"name": "b", "no')
    assert read_rows(path, Made) == [Made("a")]


def test_there_are_no_rows_without_a_file(tmp_path: Path) -> None:
    assert read_rows(tmp_path / "none.jsonl", Made) == []


def test_a_row_is_in_the_file_as_soon_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with path.open("w") as file:
        write_row(file, Made("a"))
        assert read_rows(path, Made) == [Made("a")]
