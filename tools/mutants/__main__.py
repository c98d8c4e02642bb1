"""``python -m tools.mutants``: puts faults into modules of the core and runs the tests of each module."""

from __future__ import annotations

import argparse
import os
import random
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..rows import read_rows, write_row
from .examine import get_known, passes
from .faults import Fault, faults_in
from .mirror import own_tests
from .row import Row, report, score

ROOT = Path(__file__).parents[2]
PACKAGE, TESTS = ROOT / "timm_mergemix", ROOT / "tests"
CORE = [
    "mix/*.py",
    "mixers/*.py",
    "merge/matching/*.py",
    "merge/schedule.py",
    "saliency/*.py",
    "metrics/*.py",
    "preference/*.py",
    "transforms/*.py",
    "functional.py",
    "checks.py",
]
WANTED = 0.95


@dataclass(frozen=True)
class Trial:
    """A fault to try: its source, and its number there."""

    source: str
    number: int
    fault: Fault


def main(arguments: Sequence[str] | None = None) -> int:
    """Tries faults; returns 1 if the tests miss too many of them, or fail without a fault."""
    options = _parse(arguments)
    get_known()
    trials = draw(options.source, options.count, options.seed)
    if not trials:
        sys.exit(f"--source: there is nothing to change in {' '.join(options.source)}")
    sources = sorted({trial.source for trial in trials})
    with ThreadPoolExecutor(max(1, options.jobs)) as pool:
        passed = list(pool.map(partial(_as_it_is, limit=options.limit), sources))
    broken = [source for source, right in zip(sources, passed, strict=True) if not right]
    if broken:
        sys.exit(f"These modules have no tests, or tests that fail: {', '.join(broken)}")
    rows = _try_all(trials, options)
    print(report(rows))
    return int(score(rows) < WANTED)


def draw(sources: Sequence[str], count: int, seed: int) -> list[Trial]:
    """Draws faults at random.

    Args:
        sources: Patterns for paths relative to the package.
        count: Number of faults; fewer if there are not that many.
        seed: Seed of the draw.
    """
    names = sorted({path.relative_to(PACKAGE).as_posix() for glob in sources for path in PACKAGE.glob(glob)})
    found = [
        Trial(name, number, fault)
        for name in names
        for number, fault in enumerate(faults_in((PACKAGE / name).read_text(encoding="utf-8")))
    ]
    drawn = random.Random(seed).sample(found, min(count, len(found)))
    return sorted(drawn, key=lambda trial: (trial.source, trial.number))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description=__doc__)
    parser.add_argument("--count", type=int, default=320, help="faults")
    parser.add_argument("--seed", type=int, default=0, help="seed that determines which faults are tried")
    parser.add_argument("--source", nargs="+", default=CORE, metavar="GLOB", help="paths relative to the package")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="faults that are tried at the same time")
    parser.add_argument("--limit", type=float, default=180, help="time limit in seconds for the tests of a module")
    parser.add_argument("--out", type=Path, default=Path("runs/mutants.jsonl"), help="results as JSON lines")
    return parser.parse_args(arguments)


def _try_all(trials: Sequence[Trial], options: argparse.Namespace) -> list[Row]:
    """Returns the result of each trial; trials that are already in the file are not repeated."""
    options.out.parent.mkdir(parents=True, exist_ok=True)
    there = {(row.source, row.fault, row.line): row for row in read_rows(options.out, Row)}
    keys = [(trial.source, str(trial.fault), trial.fault.line) for trial in trials]
    left = [trial for trial, key in zip(trials, keys, strict=True) if key not in there]
    with options.out.open("a") as file, ThreadPoolExecutor(max(1, options.jobs)) as pool:
        for row in pool.map(partial(_try, limit=options.limit), left):
            write_row(file, row)
            there[row.source, row.fault, row.line] = row
    return [there[key] for key in keys]


def _try(trial: Trial, limit: float) -> Row:
    return Row(trial.source, str(trial.fault), trial.fault.line, not _passes(trial.source, trial.number, limit))


def _as_it_is(source: str, limit: float) -> bool:
    return bool(own_tests(source, TESTS)) and _passes(source, None, limit)


def _passes(source: str, number: int | None, limit: float) -> bool:
    module = ".".join((PACKAGE / source).relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    return passes(module, PACKAGE / source, number, own_tests(source, TESTS), limit)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
