"""Folders of drawings of known shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def write(path: Path, number: int, colour: tuple[int, int, int], alpha: int = 255) -> None:
    """A disk in a colour, larger or smaller by its number, on nothing."""
    side = 64
    y, x = np.mgrid[:side, :side]
    inside = (x - 32) ** 2 + (y - 30) ** 2 < (8 + number) ** 2
    pixels = np.zeros((side, side, 4), dtype=np.uint8)
    pixels[inside] = *colour, alpha
    pixels[28 + number % 5, 30] = 0, 0, number, alpha
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_subjects(folder: Path, count: int = 20) -> Path:
    """Two subjects with so many drawings each, one with too few, and places that are no subject."""
    for number in range(count):
        write(folder / f"animals/fish/{number}.png", number, (250, 10, 10))
        write(folder / f"food/{'fruit/apples' if number % 2 else 'fruit'}/{number}.png", number, (10, 250, 10))
        write(folder / f"unsorted/some/{number}.png", number, (10, 10, 250))
        write(folder / f"animals/{number}.png", number, (250, 250, 10))
    write(folder / "plants/trees/0.png", 0, (10, 250, 250))
    return folder
