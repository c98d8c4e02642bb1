"""What is said of speed is what its record says."""

import pytest

from benchmarks import performance_page
from benchmarks.performance_page import fill, tables
from benchmarks.speed.measured import SPEED, load


@pytest.mark.skipif(not (performance_page.RECORDS / SPEED).is_file(), reason="no record of speed is committed yet")
def test_the_tables_of_the_page_are_those_of_the_record() -> None:
    page = performance_page.PAGE.read_text(encoding="utf-8")
    assert fill(page, tables(load(performance_page.RECORDS))) == page
