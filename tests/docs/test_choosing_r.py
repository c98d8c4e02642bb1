"""What is said of the cost of r is what its records say."""

from __future__ import annotations

from benchmarks.choosing_r_page import PAGES, RECORDS, load, tables
from benchmarks.performance_page import fill


def test_the_tables_are_those_of_the_records() -> None:
    printed, seen = tables(load(RECORDS)), []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        own = {name: table for name, table in printed.items() if f"<!-- table: {name} -->" in text}
        assert fill(text, own) == text
        seen += own
    assert sorted(seen) == sorted(printed)
