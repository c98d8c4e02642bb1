"""``python -m tools.census``: checks all plain transformers of timm one by one."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import torch

from timm_mergemix.errors import installed

from ..rows import read_rows, write_row
from .examine import examine
from .names import NOT_PLAIN, PLAIN, candidates
from .report import report
from .row import Row


def main(arguments: list[str] | None = None) -> int:
    """Runs the census; returns 1 if any check fails."""
    options = _parse(arguments)
    if options.classes:
        print(_classes())
        return 0
    names = candidates(options.filter)
    if not names:
        sys.exit(f"--filter: no plain transformer of timm matches {options.filter}")
    known = read_rows(options.out, Row) if options.resume else []
    rows = {row.name: row for row in known if row.name in names}
    start = time.perf_counter()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("a" if options.resume else "w") as file:
        for row in _progress(_examine_all([name for name in names if name not in rows], options.jobs), names, rows):
            rows[row.name] = row
            write_row(file, row)
    print(report(rows.values()))
    print(f"\n{time.perf_counter() - start:.0f} s; all results in {options.out}")
    return int(any(row.status == "failed" for row in rows.values()))


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.census", description=__doc__)
    parser.add_argument("--filter", default="*", metavar="GLOB", help="only models whose names match this pattern")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes, with one thread each")
    parser.add_argument("--out", type=Path, default=Path("runs/census.jsonl"), help="where the JSON lines go")
    parser.add_argument("--resume", action="store_true", help="keep the results already in --out")
    parser.add_argument("--classes", action="store_true", help="print which classes are counted, and why")
    return parser.parse_args(arguments)


def _classes() -> str:
    counted = [f"  {cls}: {why}" for cls, why in PLAIN.items()]
    left_out = [f"  {cls}: {why}" for cls, why in NOT_PLAIN.items()]
    return "\n".join(["counted:", *counted, "not counted:", *left_out])


def _examine_all(names: list[str], jobs: int) -> Iterator[Row]:
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(max(1, jobs), mp_context=context, initializer=torch.set_num_threads, initargs=(1,))
    try:
        for future in as_completed([pool.submit(examine, name) for name in names]):
            yield future.result()
    finally:  # an interrupt does not wait for models that have not started
        pool.shutdown(cancel_futures=True)


def _progress(rows: Iterable[Row], names: list[str], done: dict[str, Row]) -> Iterator[Row]:
    if installed("tqdm"):
        from tqdm import tqdm

        rows = tqdm(rows, total=len(names), initial=len(done), unit="model", dynamic_ncols=True)
    for row in rows:
        if row.status == "failed":
            print(f"\nfailed: {row.name}: {row.failures}", file=sys.stderr, flush=True)
        yield row


if __name__ == "__main__":
    sys.exit(main())
