"""What is said of speed is what its record says."""

from benchmarks import performance_page
from benchmarks.performance_page import fill, tables
from benchmarks.speed.measured import load


def test_the_tables_of_the_page_are_those_of_the_record() -> None:
    page = performance_page.PAGE.read_text(encoding="utf-8")
    assert fill(page, tables(load(performance_page.RECORDS))) == page
