"""The tables and the picture of what r costs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import choosing_r_page
from benchmarks.choosing_r_page import draw, load, tables
from benchmarks.command import main

SPEED = {"size": 224, "batch": 4, "machine": {"threads": 1}}
DINOV2 = {"size": 112, "batch": 4, "machine": {"threads": 1}, "model": "vit_small_patch14_dinov2"}
SMALL = {"model": "ViT-S/16", "size": 224}
RECORDS = {
    "choosing_r.jsonl": [
        {**SPEED, "model": "deit_small_patch16_224", "r": 13, "tokens": [197, 41], "speedup": [1.6, 1.5, 1.7]},
        {**SPEED, "model": "deit_small_patch16_224", "r": 4, "tokens": [197, 149], "speedup": [1.2, 1.1, 1.3]},
        {**DINOV2, "r": 3, "tokens": [65, 29], "speedup": [1.5, 1.4, 1.6]},
    ],
    "published.jsonl": [
        {
            "model": "ViT-S/16",
            "size": 224,
            "r": 13,
            "tokens": [197, 41],
            "images_per_second": [100, 164],
            "top1": [80.5, 78],
        }
    ],
    "off_the_shelf.jsonl": [
        {"matching": "none", "prop_attn": True, "r": 0, "knn": 0.7, "similarity": 1.0},
        {"matching": "bipartite", "prop_attn": True, "r": 3, "knn": 0.69, "similarity": 0.99},
        {"matching": "bipartite", "prop_attn": False, "r": 3, "knn": 0.1, "similarity": 0.5},
        {"matching": "random", "prop_attn": True, "r": 3, "knn": 0.1, "similarity": 0.5},
    ],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, records in RECORDS.items():
        (tmp_path / name).write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return tmp_path


def test_the_tables(folder: Path) -> None:
    found = tables(load(folder))
    assert found["speed by r"].splitlines()[2:] == [
        "| deit_small, 224 px | 13 | 197 → 41 | 1.60x | 1.50 to 1.70 |",
        "| deit_small, 224 px | 4 | 197 → 149 | 1.20x | 1.10 to 1.30 |",
        "| DINOv2 ViT-S/14, 112 px | 3 | 65 → 29 | 1.50x | 1.40 to 1.60 |",
    ]
    assert found["published"].splitlines()[2:] == [
        "| ViT-S/16, 224 px | 13 | 197 → 41 | 1.64x | 80.50 → 78.00 | -2.50 |"
    ]
    assert found["features by r"].splitlines()[2:] == [
        "| 0 | 65 | 1x | 70.0 % | 1.000 |",
        "| 3 | 65 → 29 | 1.50x | 69.0 % | 0.990 |",
    ]
    assert found["front"].splitlines()[2:] == [
        "| ViT-S/16, 224 px | 13 | 197 → 41 | 1.64x, V100 | 80.50 → 78.00 %, published |",
        "| deit_small, 224 px | 13 | 197 → 41 | 1.60x, CPU | not measured |",
        "| DINOv2 ViT-S/14, 112 px | 3 | 65 → 29 | 1.50x, CPU | 70.0 → 69.0 %, features only |",
    ]


def test_the_picture_shows_speed_and_accuracy(folder: Path) -> None:
    left, right = draw(load(folder)).axes
    assert [list(line.get_xdata()) for line in left.lines] == [
        [100.0, 100 * 41 / 197, 100 * 149 / 197],
        [100.0, 100 * 29 / 65],
    ]
    published, measured, *_ = right.lines
    assert list(published.get_ydata()) == [-2.5]
    assert list(measured.get_xdata()) == [1.0, 1.5] and list(measured.get_ydata()) == pytest.approx([0, -1])


def test_pages_and_picture_are_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page, front = folder / "page.md", folder / "front.md"
    page.write_text("<!-- table: speed by r -->\n\n<!-- table: published -->\n")
    front.write_text("<!-- table: front -->\n")
    for name, value in {"RECORDS": folder, "PAGES": (page, front), "PICTURE": folder / "picture.png"}.items():
        monkeypatch.setattr(choosing_r_page, name, value)
    assert main(choosing_r_page, []) == 0
    assert "1.50 to 1.70" in page.read_text() and "features only" in front.read_text()
    with Image.open(folder / "picture.png") as picture:
        assert picture.width == 1600
