"""What is said of trials is what their records say."""

import re

from benchmarks import results_page
from benchmarks.results_page import ROOT, SETTINGS, SHORT, fill, fill_settings, fill_short
from benchmarks.study.results import tables
from benchmarks.study.summary import summary
from benchmarks.study.sweep import trials_in

PAGE = results_page.PAGE.read_text()
FINAL = trials_in(results_page.RECORDS).read()


def test_the_tables_of_the_page_are_those_of_the_records() -> None:
    assert fill(PAGE, tables(FINAL, "test")) == PAGE


def test_the_short_tables_are_those_of_the_records() -> None:
    page = SHORT.read_text(encoding="utf-8")
    assert fill_short(page) == page


def test_the_table_of_feature_maps_is_that_of_the_records() -> None:
    page = SETTINGS.read_text(encoding="utf-8")
    assert fill_settings(page) == page


def test_the_figures_of_the_readme_are_those_of_the_records() -> None:
    def cells(table: str) -> list[list[str]]:
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line]

    (table,) = re.findall(r"^\| % \|.*?\n\n", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    (_, *methods), _, *rows = cells(table)
    (_, *tasks), _, *known = cells(summary(FINAL, "top-1"))
    measured = {(task, method): cell for method, *own in known for task, cell in zip(tasks, own, strict=True)}
    shown = {(task, method): cell for task, *own in rows for method, cell in zip(methods, own, strict=True)}
    assert len(shown) == 20
    assert shown == {place: measured[place] for place in shown}
