"""Writes the tables and the picture of docs/results.md anew from the records.

Tables are those that begin with the column "method", in order: of each task accuracy, robustness and, where they were
measured, pairs. A new table needs a line ``| method |`` where it shall stand.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.command import main
from benchmarks.page_tables import replace_tables, table_of
from benchmarks.study.picture import draw
from benchmarks.study.results import tables
from benchmarks.study.sweep import trials_in
from timm_mergemix.cli.pictures import save_figure
from timm_mergemix.files.writing import write_file

__all__ = ["GO_ON", "SUMMARY", "add_arguments", "fill", "run"]

SUMMARY = "Write the tables and the picture of docs/results.md from the committed records of trials."
GO_ON = "Start again with"
ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "benchmarks" / "results" / "final.jsonl"
PAGE = ROOT / "docs" / "results.md"
PICTURE = ROOT / "docs" / "images" / "results.png"
TABLE = table_of("method")


def fill(page: str, printed: str) -> str:
    """The page with its tables replaced by those that are printed.

    Raises:
        MergeMixError: If there are more or fewer of them.
    """
    return replace_tables(page, printed, TABLE, "tables that begin with 'method'")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It has none."""


def run(args: argparse.Namespace) -> None:
    """Writes page and picture."""
    records = trials_in(RECORDS).read()
    write_file(PAGE, fill(PAGE.read_text(encoding="utf-8"), tables(records, "test")))
    save_figure(draw(records, "test"), PICTURE, dpi=110)
    print(f"Wrote {PAGE} and {PICTURE}.")


if __name__ == "__main__":
    sys.exit(main(sys.modules[__name__]))
