"""Rewrites the tables of docs/results-questions.md from the records of trainings on questions.

It replaces tables whose first column is "training" or begins with "over", in the order in which they are printed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.command import main
from benchmarks.page_tables import replace_tables, table_of
from benchmarks.vqa.command import records_in
from benchmarks.vqa.results import tables
from timm_mergemix.files.writing import write_file

__all__ = ["GO_ON", "PAGE", "RECORDS", "SUMMARY", "add_arguments", "fill", "run"]

SUMMARY = "Write the tables of docs/results-questions.md from the committed records of trainings."
GO_ON = "Start again with"
ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "benchmarks" / "results" / "vqa.jsonl"
PAGE = ROOT / "docs" / "results-questions.md"
TABLE = table_of("(?:training|over )[^|]*")


def fill(page: str, printed: str) -> str:
    """Returns the page with its tables replaced by the printed ones.

    Raises:
        MergeMixError: If the number of tables differs.
    """
    return replace_tables(page, printed, TABLE, "tables of trainings")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds no options."""


def run(args: argparse.Namespace) -> None:
    """Writes the page."""
    printed = tables(records_in(RECORDS).read())
    write_file(PAGE, fill(PAGE.read_text(encoding="utf-8"), printed))
    print(f"Wrote {PAGE}.")


if __name__ == "__main__":
    sys.exit(main(sys.modules[__name__]))
