"""``python -m tools.stress``: threads and tasks share a model of each family, and each call is checked."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from ..apart import ApartError, apart
from ..rows import write_row
from ..tiny import families
from .examine import examine
from .row import Row, report


def main(arguments: list[str] | None = None) -> int:
    """Runs the families one after another; returns 1 if anything is wrong."""
    options = _parse(arguments)
    names = families(options.family)
    if not names:
        sys.exit(f"--family: there is no family {options.family}")
    rows, start = [], time.perf_counter()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w") as file:
        for name in names:
            rows.append(_examine(name, options))
            write_row(file, rows[-1])
            print(f"{name}: {'right' if rows[-1].is_right() else 'WRONG'}", file=sys.stderr, flush=True)
    print(report(rows))
    print(f"\n{time.perf_counter() - start:.0f} s; all results in {options.out}")
    return int(not all(row.is_right() for row in rows))


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.stress", description=__doc__)
    parser.add_argument("--threads", type=int, default=4, help="number of threads, and of tasks; the first one trains")
    parser.add_argument("--calls", type=int, default=2000, help="calls per thread; a task makes a quarter as many")
    parser.add_argument("--family", default="*", metavar="GLOB", help="only these families")
    parser.add_argument("--limit", type=float, default=3600, help="time limit per family in seconds")
    parser.add_argument("--out", type=Path, default=Path("runs/stress.jsonl"), help="where the JSON lines go")
    return parser.parse_args(arguments)


def _examine(name: str, options: argparse.Namespace) -> Row:
    try:
        return apart(options.limit, examine, name, options.threads, options.calls)
    except ApartError as error:
        return Row(name, failure=str(error))


if __name__ == "__main__":
    sys.exit(main())
