"""The tables of the page agree with the committed records."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import questions_page
from benchmarks.command import main
from benchmarks.questions_page import PAGE, RECORDS, fill
from benchmarks.vqa.command import records_in
from benchmarks.vqa.results import tables
from timm_mergemix import MergeMixError


def test_only_the_tables_are_replaced_in_order() -> None:
    page = "| training | a |\n\nwords\n\n| over x, 1 epochs | b |\n| --- | --- |\n| y | 1 |\n\n| other | 2 |\n"
    printed = "| training | new |\n| --- | --- |\n\n| over x, 1 epochs | newer |\n| --- | --- |\n| y | 3 |"
    first, second = printed.split("\n\n")
    assert fill(page, printed) == f"{first}\n\nwords\n\n{second}\n\n| other | 2 |\n"
    with pytest.raises(MergeMixError, match="page: got 2 tables of trainings, wanted 1"):
        fill(page, first)


def test_the_committed_page_has_the_tables_of_the_records() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert fill(page, tables(records_in(RECORDS).read())) == page


def test_the_page_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = PAGE.read_text(encoding="utf-8")
    monkeypatch.setattr(questions_page, "PAGE", tmp_path / "page.md")
    (tmp_path / "page.md").write_text(page.replace("| 1 | 1 |", "| 9 | 9 |"), encoding="utf-8")
    assert main(questions_page, []) == 0
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == page
    assert RECORDS.is_file() and "Wrote" in capsys.readouterr().out
