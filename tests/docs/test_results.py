"""What is said of trials is what their records say."""

import re

import pytest

from benchmarks import results_page
from benchmarks.results_page import ROOT, fill
from benchmarks.study.results import tables
from benchmarks.study.sweep import read_records
from timm_mergemix import MergeMixError

PAGE = results_page.PAGE.read_text()
FINAL = read_records(results_page.RECORDS)


def test_the_tables_of_the_page_are_those_of_the_records() -> None:
    assert fill(PAGE, tables(FINAL, "test")) == PAGE


def test_tables_are_replaced_in_order_and_nothing_else_is() -> None:
    page = "# Page\n\n| method |\n\nwords\n\n| method | top-1 |\n| --- | ---: |\n| a | 1 |\n\n| value | 2 |\n"
    printed = "| method | x |\n| --- | --- |\n| a | 3 |\n\n| method | y |\n| --- | --- |\n| a | 4 |"
    first, second = printed.split("\n\n")
    assert fill(page, printed) == f"# Page\n\n{first}\n\nwords\n\n{second}\n\n| value | 2 |\n"
    with pytest.raises(MergeMixError, match="page: got 2 tables that begin with 'method', wanted 1"):
        fill(page, first)


def test_the_figures_of_the_readme_are_those_of_the_page() -> None:
    (table,) = re.findall(r"^\| % \|.*?\n\n", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line]
    for _, *figures in rows:
        for method, figure in zip(header[1:], figures, strict=True):
            own = re.findall(rf"^\| (?:control: )?{re.escape(method)}(?: \(.*?\))? \|.*$", PAGE, flags=re.MULTILINE)
            assert not figure or any(f" {figure} " in line for line in own), (method, figure)
