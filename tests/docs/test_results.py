"""What is said of trials is what their records say."""

import re
from pathlib import Path

from timm_mergemix.study.results import tables
from timm_mergemix.study.sweep import read_records

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "results.md").read_text()
FINAL = read_records(ROOT / "benchmarks" / "results" / "final.jsonl")


def test_the_tables_of_the_page_are_those_of_the_records() -> None:
    parts = tables(FINAL, "test").split("\n\n")
    found = [part for part in parts if part.startswith("|")]
    assert len(found) == 6  # accuracy and robustness, for each of three tasks
    assert [part for part in found if part not in PAGE] == []


def test_the_figures_of_the_readme_are_those_of_the_page() -> None:
    (table,) = re.findall(r"^\| % \|.*?\n\n", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line]
    for _, *figures in rows:
        for method, figure in zip(header[1:], figures, strict=True):
            own = re.findall(rf"^\| (?:control: )?{re.escape(method)}(?: \(.*?\))? \|.*$", PAGE, flags=re.MULTILINE)
            assert any(f" {figure} " in line for line in own), (method, figure)
