"""Writes the tables and the picture of docs/results.md anew from the records.

    python benchmarks/results_page.py

Tables are those that begin with the column "method", in order: accuracy and robustness of each task. A new task needs
two lines ``| method |`` where its tables shall stand.
"""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.study.picture import draw
from benchmarks.study.results import tables
from benchmarks.study.sweep import read_records
from timm_mergemix.errors import Words, wrong

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


def main() -> None:
    """Writes page and picture."""
    records = read_records(RECORDS)
    PAGE.write_text(fill(PAGE.read_text(), tables(records, "test")))
    draw(records, "test").savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    main()
