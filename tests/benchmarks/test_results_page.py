"""Tables of a page are replaced in order, and pages and pictures are written."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from benchmarks import results_page
from benchmarks.command import main
from benchmarks.results_page import fill
from benchmarks.study.questions import QUESTIONS
from timm_mergemix import MergeMixError


def test_tables_are_replaced_in_order_and_nothing_else_is() -> None:
    page = "# Page\n\n| method |\n\nwords\n\n| method | top-1 |\n| --- | ---: |\n| a | 1 |\n\n| value | 2 |\n"
    printed = "| method | x |\n| --- | --- |\n| a | 3 |\n\n| method | y |\n| --- | --- |\n| a | 4 |"
    first, second = printed.split("\n\n")
    assert fill(page, printed) == f"# Page\n\n{first}\n\nwords\n\n{second}\n\n| value | 2 |\n"
    with pytest.raises(MergeMixError, match="page: got 2 tables that begin with 'method', wanted 1"):
        fill(page, first)


def test_pages_and_pictures_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = results_page.PAGE.read_text(encoding="utf-8")
    monkeypatch.setattr(results_page, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(results_page, "SHORT", tmp_path / "short.md")
    monkeypatch.setattr(results_page, "SETTINGS", tmp_path / "settings.md")
    (tmp_path / "settings.md").write_text("<!-- table: feature maps -->\n", encoding="utf-8")
    monkeypatch.setattr(results_page, "PICTURES", tmp_path)
    names = ("top-1", "calibration error", "the recipe", *(question.name for question in QUESTIONS))
    (tmp_path / "short.md").write_text("\n".join(f"<!-- table: {name} -->\n" for name in names), encoding="utf-8")
    (tmp_path / "page.md").write_text(page.replace("76.9 ± 0.8", "99.9 ± 0.8"), encoding="utf-8")
    assert main(results_page, []) == 0
    written = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "| CutMix | 3 | 200 | 76.9 ± 0.8 |" in written
    assert "| CutMix | 76.9 ± 0.8 |" in (tmp_path / "short.md").read_text(encoding="utf-8")
    assert "| ResNet | large | second-to-last |" in (tmp_path / "settings.md").read_text(encoding="utf-8")
    assert len(list(tmp_path.glob("chart-results-*.png"))) == 4
    drawn = {path.stem for path in tmp_path.glob("chart-*.png") if "results" not in path.stem}
    assert drawn == {"chart-oracle", "chart-merged-training", "chart-two-batches"}
    with Image.open(tmp_path / "chart-results-fashion.png") as picture:
        assert picture.width == 1600
