"""Drawings become matching images and masks, without duplicates and always in the same order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import drawings
from benchmarks.drawings import read_drawings, split_drawings
from timm_mergemix import MergeMixError


def write(path: Path, colour: int, side: int = 40, alpha: int = 255) -> None:
    """A disk of one colour on a transparent background, not in the middle."""
    y, x = np.mgrid[:side, :side]
    inside = (x - side / 2) ** 2 + (y - side / 2.5) ** 2 < (side / 3) ** 2
    pixels = np.zeros((side, side, 4), dtype=np.uint8)
    pixels[inside] = colour, 255 - colour, 10, alpha
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(6):
        write(tmp_path / f"part{number % 2}" / f"{number}.png", 40 * number)
    write(tmp_path / "part0" / "again.png", 0)
    write(tmp_path / "part1" / "faint.png", 80, alpha=100)
    Image.new("RGB", (40, 40)).save(tmp_path / "whole.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    return tmp_path


def test_images_and_masks_match(folder: Path) -> None:
    found = read_drawings(folder, 6, 32)
    assert found.images.shape == (6, 3, 32, 32) and found.images.dtype == torch.float32
    assert found.masks.shape == (6, 32, 32) and found.masks.dtype == torch.int64
    assert found.images.min() >= 0 and found.images.max() <= 1 + 1e-6
    for image, mask in zip(found.images, found.masks, strict=True):
        rows, columns = mask.any(dim=1).nonzero(), mask.any(dim=0).nonzero()
        assert (int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1) == (24, 24)  # 0.75 of 32
        assert 0.7 < mask.sum() / 24**2 < 0.85  # a disk
        assert (image[2][mask == 1] - 10 / 255).abs().quantile(0.8) < 0.02  # the colour of the disk, except at its edge


def test_duplicates_and_files_without_an_object_are_left_out(folder: Path) -> None:
    found = read_drawings(folder, 6, 32)
    assert len({image.numpy().tobytes() for image in found.images}) == 6
    with pytest.raises(MergeMixError, match=r"^data: got 6 drawings in .*, wanted 7"):
        read_drawings(folder, 7, 32)


def test_files_with_the_same_pixels_count_as_one_drawing(folder: Path) -> None:
    for path in sorted(folder.glob("part*/*.png")):
        Image.open(path).save(path.with_name(f"copy of {path.name}"), compress_level=1)
    with pytest.raises(MergeMixError, match=r"^data: got 6 drawings"):
        read_drawings(folder, 7, 32)


def test_the_order_depends_on_the_contents_alone(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    for number, path in enumerate(sorted(folder.rglob("*.png"), reverse=True)):
        (other / f"{number}.png").write_bytes(path.read_bytes())
    for one, two in zip(read_drawings(folder, 6, 32), read_drawings(other, 6, 32), strict=True):
        assert torch.equal(one, two)


def test_the_two_sets_are_parts_of_the_whole(folder: Path) -> None:
    train, test = split_drawings(folder, 4, 2, 32)
    assert torch.equal(torch.cat([train.images, test.images]), read_drawings(folder, 6, 32).images)
    assert len(train.masks) == 4 and len(test.masks) == 2


def test_large_files_are_left_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder / "large.png", 200, side=80)
    assert len(read_drawings(folder, 7, 32).images) == 7
    monkeypatch.setattr(drawings, "MOST_PIXELS", 40 * 40)
    with pytest.raises(MergeMixError, match=r"^data: got 6 drawings"):
        read_drawings(folder, 7, 32)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MergeMixError, match=r"^data: there is no folder .*openclipart-png"):
        read_drawings(tmp_path / "nowhere", 1, 32)
