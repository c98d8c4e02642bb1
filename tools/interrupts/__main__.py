"""``python -m tools.interrupts``: interrupts patch, unpatch, saliency, merging and record, then checks the model."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from ..apart import ApartError, apart
from ..rows import write_row
from ..tiny import families
from .examine import examine
from .row import Row, report

FAMILIES = ("vit", "cait", "beit", "relpos", "torchvision")


def main(arguments: list[str] | None = None) -> int:
    """Interrupts the operations on each family; returns 1 if a model stays broken."""
    options = _parse(arguments)
    names = [name for pattern in options.family for name in families(pattern)]
    if not names:
        sys.exit(f"--family: there is no family {' '.join(options.family)}")
    rows, start = [], time.perf_counter()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w") as file:
        for row in _examine_all(names, options):
            rows.append(row)
            write_row(file, row)
    print(report(rows))
    print(f"\n{time.perf_counter() - start:.0f} s; all results in {options.out}")
    return int(not all(row.is_right() for row in rows))


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.interrupts", description=__doc__)
    parser.add_argument("--interrupts", type=int, default=1000, help="interrupts per operation, over all families")
    parser.add_argument("--signals", type=int, default=200, help="additional interrupts, sent as signals")
    parser.add_argument("--family", nargs="+", default=FAMILIES, metavar="GLOB", help="only these families")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="families that run at the same time")
    parser.add_argument("--limit", type=float, default=3600, help="time limit per family in seconds")
    parser.add_argument("--out", type=Path, default=Path("runs/interrupts.jsonl"), help="where the JSON lines go")
    return parser.parse_args(arguments)


def _examine_all(names: list[str], options: argparse.Namespace) -> Iterator[Row]:
    interrupts, signals = (-(-count // len(names)) for count in (options.interrupts, options.signals))
    one = partial(_examine, limit=options.limit, interrupts=interrupts, signals=signals)
    with ThreadPoolExecutor(max(1, options.jobs)) as pool:
        for rows in pool.map(one, names):
            yield from rows


def _examine(name: str, limit: float, interrupts: int, signals: int) -> list[Row]:
    try:
        return apart(limit, examine, name, interrupts, signals)
    except ApartError as error:
        return [Row(name, failure=str(error))]


if __name__ == "__main__":
    sys.exit(main())
