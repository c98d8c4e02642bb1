from __future__ import annotations

from pathlib import Path

from PIL import Image

from benchmarks.speed.growth import Point
from benchmarks.speed.plot import plot

from .test_report import RESULTS

POINTS = [Point(224, 197, b, {"merged": 0.1 / b, "ideal": 0.09 / b, "unpatched": 0.2 / b}) for b in (1, 8)]


def test_the_plot(tmp_path: Path) -> None:
    for name, points in (("table.png", []), ("all.png", POINTS)):
        with Image.open(plot(RESULTS, points, tmp_path / name)) as picture:
            assert picture.width > 500
