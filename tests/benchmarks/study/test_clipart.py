"""Drawings are cut out once each, and stand on every ground at the same place with their true alpha."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from benchmarks.study import clipart
from benchmarks.study.clipart import CutOut, Placement, read_cut_outs, render
from timm_mergemix import MergeMixError

from .drawn import write, write_subjects

CLASSES = ("animals/fish", "food/fruit")
ANYWHERE, SMALL = Placement(0.75), Placement(0.35, corner=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_subjects(tmp_path)


def read(folder: Path, side: int = 42) -> tuple[CutOut, ...]:
    return read_cut_outs.__wrapped__(folder, side)


def test_classes_are_the_subjects_with_enough_drawings(folder: Path) -> None:
    found = read(folder)
    assert tuple(dict.fromkeys(drawing.subject for drawing in found)) == CLASSES and len(found) == 40
    digests = [drawing.digest for drawing in found if drawing.subject == CLASSES[0]]
    assert digests == sorted(digests)
    assert all(max(drawing.pixels.shape[:2]) == 42 for drawing in found)


def test_a_content_comes_once_and_not_under_two_subjects(folder: Path) -> None:
    for number in range(3):  # the same drawing again, in another file
        Image.open(folder / f"animals/fish/{number}.png").save(folder / f"animals/fish/again {number}.png", dpi=(9, 9))
    assert len(read(folder)) == 40
    for number in range(21, 24):
        for place in ("animals/fish", "food/fruit"):
            write(folder / f"{place}/{number}.png", number, (99, 99, 99))
    assert len(read(folder)) == 40


def test_what_shows_no_object_on_nothing_is_left_out(folder: Path) -> None:
    Image.new("RGB", (40, 40), "red").save(folder / "animals/fish/whole.png")
    (folder / "animals/fish/broken.png").write_bytes(b"no image")
    write(folder / "animals/fish/faint.png", 3, (1, 2, 3), alpha=90)
    assert len(read(folder)) == 40


def test_a_class_has_a_limit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clipart, "MOST", 20)
    write(folder / "animals/fish/one more.png", 20, (250, 10, 10))
    assert len(read(folder)) == 40


def test_a_folder_without_subjects(tmp_path: Path) -> None:
    with pytest.raises(MergeMixError, match=r"data-dir: there is no folder .*openclipart-png"):
        read(tmp_path / "nowhere")
    with pytest.raises(MergeMixError, match=r"data-dir: got 0 folders of 20 drawings in .*, wanted at least 2"):
        read(tmp_path)


@pytest.mark.parametrize("placement", [ANYWHERE, SMALL])
def test_objects_keep_their_place_and_their_colours_on_every_ground(folder: Path, placement: Placement) -> None:
    drawings = read(folder, round(placement.side * 56))[::7]
    images, masks = render(drawings, CLASSES, 56, placement)
    assert images.images.shape == (6, 3, 56, 56) and masks.shape == (6, 1, 56, 56)
    assert [CLASSES[label] for label in images.labels] == [drawing.subject for drawing in drawings]
    inside = (masks == 255).expand(-1, 3, -1, -1)
    outside = (masks == 0).expand(-1, 3, -1, -1)
    for ground in ("ground swapped", "ground textured"):
        other, same = render(drawings, CLASSES, 56, placement, ground)
        assert torch.equal(same, masks)
        assert torch.equal(other.images[inside], images.images[inside])
        assert (other.images[outside] != images.images[outside]).float().mean() > 0.9


def test_small_objects_stand_in_one_quarter_and_far_from_the_edge(folder: Path) -> None:
    _, masks = render(read(folder, 20), CLASSES, 56, SMALL)
    seen = masks[:, 0] > 0
    quarters = [seen[:, rows, columns].flatten(1).any(1) for rows in HALVES for columns in HALVES]
    assert torch.equal(torch.stack(quarters).sum(0), torch.ones(len(seen)).long())
    assert all(quarter.any() for quarter in quarters)
    assert not (seen[:, :4].any() or seen[:, -4:].any() or seen[:, :, :4].any() or seen[:, :, -4:].any())


HALVES = slice(0, 28), slice(28, 56)


def test_what_is_transparent_has_no_colour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """White on white stays white where an edge is half transparent, and black below it is not seen."""
    write(tmp_path / "one.png", 12, (255, 255, 255))
    _, pixels = clipart._read(tmp_path / "one.png", 21)  # type: ignore[misc]
    monkeypatch.setitem(clipart.GROUNDS, "own", lambda size, key: torch.ones(3, size, size))
    images, masks = render([CutOut(CLASSES[0], "1f", pixels)], CLASSES, 56, ANYWHERE)
    assert ((masks > 0) & (masks < 255)).any()
    edge = images.images[0][((masks[0] > 0) & (masks[0] < 255)).expand(3, -1, -1)]
    assert edge.float().quantile(0.05) > 240


def test_a_colour_is_as_strong_as_its_alpha(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "one.png", 12, (200, 200, 200))
    _, pixels = clipart._read(tmp_path / "one.png", 21)  # type: ignore[misc]
    monkeypatch.setitem(clipart.GROUNDS, "own", lambda size, key: torch.zeros(3, size, size))
    images, masks = render([CutOut(CLASSES[0], "1f", pixels)], CLASSES, 56, ANYWHERE)
    edge = (masks[0, 0] > 0) & (masks[0, 0] < 255)
    wrong = images.images[0, 0][edge].float() - masks[0, 0][edge].float() * 200 / 255
    assert edge.sum() > 10 and wrong.abs().quantile(0.9) < 3
