"""What is said of trials is what their records say."""

import re

from benchmarks import results_page
from benchmarks.results_page import ROOT, fill
from benchmarks.study.results import tables
from benchmarks.study.sweep import trials_in

PAGE = results_page.PAGE.read_text()
FINAL = trials_in(results_page.RECORDS).read()


def test_the_tables_of_the_page_are_those_of_the_records() -> None:
    assert fill(PAGE, tables(FINAL, "test")) == PAGE


def test_the_figures_of_the_readme_are_those_of_the_page() -> None:
    (table,) = re.findall(r"^\| % \|.*?\n\n", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line]
    for _, *figures in rows:
        for method, figure in zip(header[1:], figures, strict=True):
            own = re.findall(rf"^\| (?:control: )?{re.escape(method)}(?: \(.*?\))? \|.*$", PAGE, flags=re.MULTILINE)
            assert not figure or any(f" {figure} " in line for line in own), (method, figure)
