"""A command writes its pictures and texts into a directory, and returns their paths."""

from pathlib import Path

import pytest
from PIL import Image

from timm_mergemix import MergeMixError
from timm_mergemix.cli.pictures import Picture, save_figure, write_results
from timm_mergemix.viz import learning_curves

from ..files.faults import failing

HISTORY = [{"epoch": epoch, "train_loss": 2 / epoch, "val_top1": 0.1 * epoch} for epoch in (1, 2)]


def picture(name: str) -> Picture:
    return Picture(name, learning_curves({"a run": HISTORY}), "Curves", "What they show.")


def test_pictures_come_first_and_each_path_is_that_of_a_file(tmp_path: Path) -> None:
    texts = {"results.json": "{}\n", "results.md": "| ü |\n"}
    written = write_results([picture("curves"), picture("more")], texts, tmp_path)
    assert written == [tmp_path / name for name in ("curves.png", "more.png", "results.json", "results.md")]
    assert sorted(tmp_path.iterdir()) == sorted(written)
    for path in written[:2]:
        assert min(Image.open(path).size) > 300
    assert (tmp_path / "results.md").read_bytes().decode() == "| ü |\n"


def test_existing_files_are_overwritten(tmp_path: Path) -> None:
    for text in ("a longer text", "short"):
        write_results([picture("curves")], {"results.md": text}, tmp_path)
    assert (tmp_path / "results.md").read_text() == "short"


def test_without_contents_no_file_is_written(tmp_path: Path) -> None:
    assert write_results([], {}, tmp_path) == [] and not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_a_figure_is_written_whole_in_the_format_of_its_name(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"curves.{suffix}"
    assert save_figure(picture("curves").figure, path, dpi=50) == path
    assert path.read_bytes()[:5] in (b"\x89PNG\r", b"<?xml", b"%PDF-")
    before = path.read_bytes()
    with failing(3), pytest.raises(MergeMixError, match=f"curves.{suffix}: cannot be written: .*No space left"):
        save_figure(picture("curves").figure, path)
    assert path.read_bytes() == before and [each.name for each in tmp_path.iterdir()] == [path.name]
