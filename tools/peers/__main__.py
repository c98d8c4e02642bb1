"""``python -m tools.peers``: runs tests of four packages on unpatched models and on models patched with r = 0.

TIMM_TESTS, PEFT_TESTS, ACCELERATE_TESTS and TRANSFORMERS_TESTS name the folders of their tests; those that are not set
are left out. The folder for transformers must be in a checkout of the installed release.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from ..rows import read_rows
from .names import smallest_first
from .peers import PEERS
from .plan import Plan
from .report import pairs, report
from .row import SIDES, Row
from .run import run


def main(arguments: list[str] | None = None) -> int:
    """Runs the tests on unpatched and patched models; returns 1 if an outcome differs."""
    options = _parse(arguments)
    folders = _folders()
    start = time.perf_counter()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    if not options.resume:
        options.out.write_text("")
    names = smallest_first(options.models, options.millions) if "timm" in folders else []
    for peer, folder in folders.items():
        for side in SIDES:
            known = read_rows(options.out, Row)
            done = [row.test for row in known if (row.peer, row.side) == (peer, side)]
            plan = Plan(peer, side, names, options.filter or ["*"], done, str(options.out.resolve()))
            run(plan, folder, options.work.resolve(), options.jobs)
    found = pairs(row for row in read_rows(options.out, Row) if row.peer in folders)
    text = report(found)
    if options.markdown:
        options.markdown.write_text(text + "\n")
    print(f"{text}\n\n{time.perf_counter() - start:.0f} s; all results in {options.out}, logs in {options.work}")
    return int(any(pair.differs for pair in found))


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.peers", description=__doc__)
    filter_help = "only tests of this name, with or without file and parameters; may be repeated"
    parser.add_argument("--filter", action="append", metavar="GLOB", help=filter_help)
    parser.add_argument("--models", default="*", metavar="GLOB", help="only models of these names in timm's tests")
    parser.add_argument(
        "--millions", type=float, metavar="N", help="only models with at most so many million parameters"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes, with one thread each")
    parser.add_argument("--out", type=Path, default=Path("runs/peers.jsonl"), help="where the JSON lines go")
    parser.add_argument("--work", type=Path, default=Path("runs/peers"), help="folder for the logs")
    parser.add_argument("--resume", action="store_true", help="keep the results that are already in --out")
    parser.add_argument("--markdown", type=Path, metavar="PATH", help="also write the table to this file")
    return parser.parse_args(arguments)


def _folders() -> dict[str, Path]:
    """Returns the folders of tests by package."""
    given = {peer: os.environ.get(f"{peer.upper()}_TESTS", "") for peer in PEERS}
    folders = {peer: Path(path).resolve() for peer, path in given.items() if path}
    if not folders:
        sys.exit(f"none of {', '.join(f'{peer.upper()}_TESTS' for peer in PEERS)} is set: folders of tests")
    for peer, folder in folders.items():
        if not folder.is_dir():
            sys.exit(f"{peer.upper()}_TESTS: {folder} is not a folder")
    return folders


if __name__ == "__main__":
    sys.exit(main())
