"""Writes the tables and the picture of docs/results.md anew from the records.

Tables are those that begin with the column "method", in order: of each task accuracy, robustness and, where they were
measured, pairs. A new table needs a line ``| method |`` where it shall stand.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from benchmarks.command import main
from benchmarks.study.picture import draw
from benchmarks.study.results import tables
from benchmarks.study.sweep import trials_in
from timm_mergemix.errors import Words, wrong

__all__ = ["GO_ON", "SUMMARY", "add_arguments", "fill", "run"]

SUMMARY = "Write the tables and the picture of docs/results.md from the committed records of trials."
GO_ON = "Start again with"
ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "benchmarks" / "results" / "final.jsonl"
PAGE = ROOT / "docs" / "results.md"
PICTURE = ROOT / "docs" / "images" / "results.png"
TABLE = re.compile(r"^\| method \|.*\n(?:\|.*\n)*", re.MULTILINE)


def fill(page: str, printed: str) -> str:
    """The page with its tables replaced by those that are printed.

    Raises:
        MergeMixError: If there are more or fewer of them.
    """
    new, old = TABLE.findall(f"{printed}\n"), TABLE.findall(page)
    if len(new) != len(old):
        raise wrong("page", Words(f"{len(old)} tables that begin with 'method'"), f"{len(new)}, as the records have")
    return TABLE.sub(lambda _: new.pop(0), page)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It has none."""


def run(args: argparse.Namespace) -> None:
    """Writes page and picture."""
    records = trials_in(RECORDS).read()
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8"), tables(records, "test")), encoding="utf-8")
    draw(records, "test").savefig(PICTURE, dpi=110)
    print(f"Wrote {PAGE} and {PICTURE}.")


if __name__ == "__main__":
    sys.exit(main(sys.modules[__name__]))
