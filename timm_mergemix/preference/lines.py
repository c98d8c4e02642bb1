"""The lines of pairs on disk: one line of JSON per pair, with everything but the pixels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import Words, unusable, wrong
from ..files.paths import is_inside, refuse_link
from .pairs import PairBatch

__all__ = ["IMAGES", "LINES", "Line", "check_same", "line_of", "read_lines", "to_text"]

LINES = "pairs.jsonl"
IMAGES = ("winner", "loser")
LARGEST = 2**63 - 1  # the largest int64
Line = dict[str, Any]


def read_lines(directory: Path) -> tuple[list[Line], bytes]:
    """The lines of a directory, and any bytes after the last newline.

    Raises:
        MergeMixError: If a line is broken, is duplicated or names a file outside the directory, or if the file cannot
            be read.
    """
    path = directory / LINES
    refuse_link(path)
    try:
        *whole, rest = path.read_bytes().split(b"\n") if path.is_file() else [b""]
    except OSError as error:
        raise unusable(path, f"cannot be read: {error}") from error
    lines = [_parse(path, number, line) for number, line in enumerate(whole, 1)]
    seen: set[int] = set()
    for number, line in enumerate(lines, 1):
        if line["id"] in seen:
            raise wrong(f"{path}, line {number}", Words(f"the id {line['id']} again"), "one line per pair")
        seen.add(line["id"])
    return lines, rest


def _parse(path: Path, number: int, text: bytes) -> Line:
    try:
        line: Line = json.loads(text)
        fits = (
            all(isinstance(line[name], str) for name in (*IMAGES, "kind"))
            and all(type(line[name]) is int and 0 <= line[name] <= LARGEST for name in ("id", "label", "partner"))
            and all(type(line[name]) in (int, float) and 0 <= line[name] <= 1 for name in ("ratio", "mass"))
        )
    except (KeyError, TypeError, ValueError, RecursionError):
        fits = False
    if not fits:
        raise wrong(f"{path}, line {number}", text.decode(errors="replace"), "a pair as write_pairs writes it")
    for name in IMAGES:
        if not is_inside(line[name]):
            raise wrong(f"{path}, line {number}", line[name], f"a path of the {name} inside the directory")
    return line


def line_of(pairs: PairBatch, row: int, number: int, classes: Sequence[str] | None, suffix: str) -> Line:
    """The line of a pair.

    Args:
        pairs: A batch of pairs.
        row: Row of the pair.
        number: Id of the pair.
        classes: Names of the classes, or None.
        suffix: Suffix of the image files.

    Raises:
        MergeMixError: If a class has no name.
    """
    line: Line = {
        "id": number,
        "winner": f"winner/{number:08d}.{suffix}",
        "loser": f"loser/{number:08d}.{suffix}",
        "label": int(pairs.label[row]),
        "partner": int(pairs.partner_label[row]),
        "ratio": float(pairs.ratio[row]),
        "mass": float(pairs.mass[row]),
        "kind": pairs.kind[row],
    }
    if classes is None:
        return line
    if max(line["label"], line["partner"]) >= len(classes):
        raise wrong("classes", classes, f"names of all classes up to {max(line['label'], line['partner'])}")
    return line | {"label_name": str(classes[line["label"]]), "partner_name": str(classes[line["partner"]])}


def check_same(directory: Path, there: Line, line: Line) -> None:
    """Raises unless the pair is the one that was written; ratios may differ by the rounding of another machine."""

    def same(a: Any, b: Any) -> bool:
        return a == b or (isinstance(a, float) and isinstance(b, float) and abs(a - b) < 1e-3)

    differ = sorted(name for name in there | line if not same(there.get(name), line.get(name)))
    if differ:
        where = f"{directory / LINES}, line {line['id'] + 1}"
        wanted = "the same arguments and the same batches (order and seed) from the start, which resuming needs"
        raise wrong("batches", Words(f"a pair that differs from {where} (in {', '.join(differ)})"), wanted)


def to_text(line: Line) -> bytes:
    """A line as bytes, without a newline. Class names may come from file names that are not valid UTF-8."""
    return json.dumps(line, ensure_ascii=False).encode(errors="surrogatepass")
