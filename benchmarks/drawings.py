"""Images and masks from drawings with a transparent background: each is put on a gradient, its alpha is the mask."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from timm_mergemix.errors import Words, unusable, wrong

__all__ = ["CLIPART", "Drawings", "open_drawing", "read_drawings", "split_drawings", "two_colours"]

# Folder of the files of Debian's package openclipart-png.
CLIPART = Path("/usr/share/openclipart/png")
MOST_PIXELS = 4_000_000  # larger files take seconds to read
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning)
SIDE = 0.75  # the longer side of a drawing, as a share of the image's side
SHARES = 0.1, 0.9  # limits of the object's share of its bounding box: neither almost nothing nor all of it


class Drawings(NamedTuple):
    """Images with their masks.

    Attributes:
        images: (N, 3, H, W) float32 from 0 to 1.
        masks: (N, H, W) int64, 1 for the object and 0 for the background.
    """

    images: Tensor
    masks: Tensor


def split_drawings(folder: Path, train: int, test: int, size: int) -> tuple[Drawings, Drawings]:
    """Returns two sets without a common drawing, chosen by hashes of the contents of the files.

    Args:
        folder: Folder with PNG files, in it or in its subfolders.
        train: Number of images in the first set.
        test: Number of images in the second set.
        size: Height and width of the images.

    Raises:
        MergeMixError: If the folder does not have enough drawings.
    """
    found = read_drawings(folder, train + test, size)
    return tuple(Drawings(*(part[rows] for part in found)) for rows in (slice(train), slice(train, None)))  # type: ignore[return-value]


def read_drawings(folder: Path, count: int, size: int) -> Drawings:
    """Returns the first drawings in the order of their hashes, without duplicates.

    Args:
        folder: Folder with PNG files, in it or in its subfolders.
        count: Number of drawings.
        size: Height and width of the images.

    Raises:
        MergeMixError: If the folder does not have enough drawings.
    """
    if not folder.is_dir():
        raise unusable("data", f"there is no folder {folder}; Debian's package openclipart-png installs {CLIPART}")
    images, masks, seen = [], [], set()
    for digest, drawing in _in_order(folder, round(SIDE * size)):
        pixels = drawing.tobytes()
        if pixels not in seen:  # files may differ in invisible details
            seen.add(pixels)
            image, mask = _on_ground(drawing, size, np.random.default_rng(int(digest, 16)))
            images.append(image)
            masks.append(mask)
        if len(images) == count:
            return Drawings(torch.stack(images), torch.stack(masks))
    raise wrong("data", Words(f"{len(images)} drawings in {folder}"), f"{count}")


def _in_order(folder: Path, side: int) -> Iterator[tuple[str, np.ndarray]]:
    """Hashes and small drawings (h, w, 4) uint8 of all files that show an object on a transparent background."""
    files = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in sorted(folder.rglob("*.png"))}
    for digest, path in sorted(files.items()):
        drawing = _read(path, side)
        if drawing is not None and SHARES[0] < (drawing[..., 3] > 127).mean() < SHARES[1]:
            yield digest, drawing


def open_drawing(path: Path) -> Image.Image | None:
    """The object of a drawing, cut out as RGBA; None for a file that cannot be read, is too large, or shows nothing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as file:
                if file.width * file.height > MOST_PIXELS:
                    return None
                drawing = file.convert("RGBA")
    except UNREADABLE:
        return None
    box = drawing.getchannel("A").point(lambda alpha: 255 * (alpha > 127)).getbbox()
    return None if box is None else drawing.crop(box)


def _read(path: Path, side: int) -> np.ndarray | None:
    drawing = open_drawing(path)
    if drawing is None:
        return None
    scale = side / max(drawing.size)
    return np.asarray(drawing.resize([max(1, round(scale * length)) for length in drawing.size]))


def _on_ground(drawing: np.ndarray, size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """An image (3, size, size) of the drawing at a random place on a gradient of two colours, and its mask."""
    height, width = drawing.shape[:2]
    top, left = rng.integers(size - height + 1), rng.integers(size - width + 1)
    image = two_colours(size, rng)
    pixels = torch.from_numpy(drawing.copy()).movedim(-1, 0).float() / 255
    place = image[:, top : top + height, left : left + width]
    place.copy_(torch.lerp(place, pixels[:3], pixels[3]))
    mask = torch.zeros(size, size, dtype=torch.long)
    mask[top : top + height, left : left + width] = pixels[3] > 0.5
    return image, mask


def two_colours(size: int, rng: np.random.Generator) -> Tensor:
    """A ground (3, size, size) of values from 0 to 1: a gradient from one random colour towards another."""
    angle, colours = rng.uniform(0, 2 * np.pi), torch.from_numpy(rng.uniform(size=(2, 3, 1, 1))).float()
    line = torch.linspace(-1, 1, size)
    slope = 0.5 + 0.35 * (np.sin(angle) * line.view(-1, 1) + np.cos(angle) * line)
    return torch.lerp(colours[0], colours[1], slope)
