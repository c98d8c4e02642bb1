"""Results as a table, as JSON and as Markdown."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..files.writing import write_file

__all__ = ["markdown_table", "text_table", "to_json", "write_json"]


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: bool = True) -> str:
    """Columns of equal width; the first one to the left, the others to the right if they hold numbers."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    align = ["<", *(">" if numbers else "<" for _ in widths[1:])]
    lines = [header, ["-" * width for width in widths], *rows]
    cells = [[f"{cell:{side}{width}}" for cell, side, width in zip(line, align, widths, strict=True)] for line in lines]
    return "\n".join("  ".join(line).rstrip() for line in cells)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same table in Markdown."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, rule, *rows])


def write_json(path: Path, value: Any) -> Path:
    """Writes JSON for people and programs, and returns the path."""
    return write_file(path, to_json(value) + "\n")


def to_json(value: Any) -> str:
    """JSON for people and programs. A number that is not finite is null there, a path its text."""
    return json.dumps(_finite(value), indent=2, allow_nan=False, default=str)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
