"""The page of performance is filled from a record, each table in its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from benchmarks import performance_page
from benchmarks.command import main
from benchmarks.performance_page import fill, tables
from benchmarks.speed.measured import load
from timm_mergemix import MergeMixError

from .speed.made import write_record

PAGE = performance_page.PAGE.read_text(encoding="utf-8")


def test_tables_have_ratio_interval_and_what_is_wanted(tmp_path: Path) -> None:
    found = tables(load(write_record(tmp_path)))
    names = ["merged over ideal", "merged over unpatched", "published over ideal", "mixing", "preference"]
    assert list(found) == ["machine", *names, "growth"]
    assert found["machine"].splitlines()[2:] == ["| device | cpu, made up |", "| threads | 2 |"]
    assert found["merged over ideal"].splitlines() == [
        "| merged over the ideal | ratio | 95 % interval | target: at most |",
        "| --- | ---: | ---: | ---: |",
        "| inference, deit_tiny, batch 32, r=13 | 1.05 | 1.00 to 1.12 | 1.10 |",
    ]
    assert found["merged over unpatched"].splitlines()[-1] == "| memory of a training step | 0.60 |  | 0.65 |"
    assert found["preference"].splitlines()[-1].endswith("saliency pass of its own | 1.70 | 1.60 to 1.80 |  |")


def test_growth_has_a_row_for_each_batch_and_two_columns_for_each_number_of_tokens(tmp_path: Path) -> None:
    header, _, one, eight = tables(load(write_record(tmp_path)))["growth"].splitlines()
    assert header.split(" | ")[1:3] == ["197 tokens, merged over ideal", "197 tokens, merged over unpatched"]
    assert one == "| 1 | 1.50 | 0.75 | 1.25 | 0.50 |" and eight == "| 8 | 1.00 | 0.60 |  |  |"


def test_a_table_stands_below_its_line_and_replaces_the_one_that_stood_there() -> None:
    page = "a\n\n<!-- table: x -->\n\n| old |\n| --- |\n\nb\n\n<!-- table: y -->\n\nc\n\n| other |\n"
    filled = fill(page, {"x": "| new |", "y": "| first |"})
    assert filled == "a\n\n<!-- table: x -->\n\n| new |\n\nb\n\n<!-- table: y -->\n\n| first |\n\nc\n\n| other |\n"
    assert fill(filled, {"x": "| new |", "y": "| first |"}) == filled
    for other in (page + "\n<!-- table: x -->\n", page.replace("x", "z")):
        with pytest.raises(MergeMixError, match=r"page: got [02] lines <!-- table: x -->, wanted one"):
            fill(other, {"x": "| new |"})


def test_the_page_has_a_place_for_every_table(tmp_path: Path) -> None:
    found = tables(load(write_record(tmp_path)))
    filled = fill(PAGE, found)
    assert fill(filled, found) == filled
    assert all(table in filled for table in found.values())


def test_page_and_pictures_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_record(tmp_path)
    (tmp_path / "page.md").write_text(PAGE, encoding="utf-8")
    for name, value in {"RECORDS": ".", "PAGE": "page.md", "PICTURES": "."}.items():
        monkeypatch.setattr(performance_page, name, tmp_path / value)
    assert main(performance_page, []) == 0
    assert "| 1.05 | 1.00 to 1.12 | 1.10 |" in (tmp_path / "page.md").read_text(encoding="utf-8")
    for name in ("merging", "mixing"):
        with Image.open(tmp_path / f"chart-performance-{name}.png") as picture:
            assert picture.width == 1600


def test_without_a_record_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(performance_page, "RECORDS", tmp_path)
    monkeypatch.setattr(performance_page, "PAGE", tmp_path / "page.md")
    assert main(performance_page, []) == 2
    assert "got measurements with 0 values of machine" in capsys.readouterr().err
    assert not (tmp_path / "page.md").exists()
