"""Clip art by subject: cut out of its transparent ground, and placed on a new one with its true mask."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from timm_mergemix.errors import Words, unusable, wrong
from timm_mergemix.training.images import ImageSet

from ..drawings import CLIPART, SHARES, open_drawing
from .grounds import GROUNDS

__all__ = ["CutOut", "Placement", "read_cut_outs", "render"]

# Folders that are no subject, and icons, of which many are of one subject and few of one class.
LEFT_OUT = ("special", "unsorted", "computer/icons")
LEAST, MOST = 20, 80  # drawings of a class
CANONICAL = 64  # longer side in pixels of the drawing that is hashed
ROOM = 14  # a margin of one part in so many of the image stays free, so that no crop cuts an object


@dataclass(frozen=True)
class Placement:
    """Where objects stand.

    Attributes:
        side: Longer side of a drawing, as a share of the image's.
        corner: Whether the whole object stands in one quarter of the image; else it may stand anywhere.
    """

    side: float = 0.75
    corner: bool = False


class CutOut(NamedTuple):
    """A drawing without its ground.

    Attributes:
        subject: The first two folders of its path.
        digest: SHA-256 of its pixels at a fixed size, by which drawings are told apart and ordered.
        pixels: (h, w, 4) uint8: colours multiplied by alpha, and alpha. So they can be resized apart from each other,
            and what is transparent has no colour that could show at the edges.
    """

    subject: str
    digest: str
    pixels: np.ndarray


@lru_cache(maxsize=2)
def read_cut_outs(folder: Path | None, side: int) -> tuple[CutOut, ...]:
    """All drawings of subjects that have enough of them, by subject and digest.

    Each content comes once. One that lies in folders of several subjects is left out, and so is one that fills next to
    nothing of its own rectangle, or all of it.

    Args:
        folder: With folders of PNG files; None for that of Debian's package openclipart-png.
        side: Longer side of a drawing in pixels.

    Raises:
        MergeMixError: If there is no such folder, or no subject in it.
    """
    folder = folder or CLIPART
    if not folder.is_dir():
        raise unusable("data-dir", f"there is no folder {folder}; Debian's package openclipart-png brings {CLIPART}")
    found: dict[str, CutOut] = {}
    subjects: dict[str, set[str]] = defaultdict(set)
    for own, path in _files(folder):
        drawing = _read(path, side)
        if drawing is not None:
            digest, pixels = drawing
            subjects[digest] |= own
            found.setdefault(digest, CutOut(min(own), digest, pixels))
    classes: dict[str, list[CutOut]] = defaultdict(list)
    for digest in sorted(found):
        if len(subjects[digest]) == 1:
            classes[found[digest].subject].append(found[digest])
    kept = {subject: drawings[:MOST] for subject, drawings in sorted(classes.items()) if len(drawings) >= LEAST}
    if len(kept) < 2:
        raise wrong("data-dir", Words(f"{len(kept)} folders of {LEAST} drawings in {folder}"), "at least 2")
    return tuple(drawing for drawings in kept.values() for drawing in drawings)


def _files(folder: Path) -> Iterator[tuple[set[str], Path]]:
    """Files of different contents, each with the subjects in whose folders it lies."""
    paths: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*.png")):
        parts = path.relative_to(folder).parts
        subject = "/".join(parts[:2])
        if len(parts) > 2 and parts[0] not in LEFT_OUT and subject not in LEFT_OUT:
            paths[hashlib.sha256(path.read_bytes()).hexdigest()].append(path)
    for same in paths.values():
        yield {"/".join(path.relative_to(folder).parts[:2]) for path in same}, same[0]


def _read(path: Path, side: int) -> tuple[str, np.ndarray] | None:
    """Digest and pixels of a drawing; None for a file that shows no object on nothing."""
    drawing = open_drawing(path)
    if drawing is None:
        return None
    cut = drawing.convert("RGBa")  # colours times alpha
    canonical = _resized(cut, CANONICAL)
    if not SHARES[0] < (canonical[..., 3] > 127).mean() < SHARES[1]:
        return None
    digest = hashlib.sha256(repr(canonical.shape).encode() + canonical.tobytes()).hexdigest()
    return digest, _resized(cut, side)


def _resized(drawing: Image.Image, side: int) -> np.ndarray:
    scale = side / max(drawing.size)
    size = [max(1, round(scale * length)) for length in drawing.size]
    # Bilinear: other filters overshoot, and a colour would be brighter than its alpha allows.
    return np.asarray(drawing.resize(size, Image.Resampling.BILINEAR))


def render(
    drawings: Sequence[CutOut], classes: Sequence[str], size: int, placement: Placement, ground: str = "own"
) -> tuple[ImageSet, Tensor]:
    """Drawings on a ground, each one always at the same place.

    Args:
        drawings: Read with a side of ``round(placement.side * size)``.
        classes: Subjects in the order of their labels.
        size: Height and width of the images.
        placement: Where objects stand.
        ground: A name of `GROUNDS`: ``"own"``, or another one for the same drawings at the same places.

    Returns:
        Images (N, 3, size, size) uint8 with their labels, and the alpha (N, 1, size, size) uint8 of the objects. The
        images are composed before anything else is done to them, so that all methods see the same colours.
    """
    images = torch.empty(len(drawings), 3, size, size, dtype=torch.uint8)
    masks = torch.zeros(len(drawings), 1, size, size, dtype=torch.uint8)
    for drawing, image, mask in zip(drawings, images, masks, strict=True):
        key = int(drawing.digest, 16)
        top, left = _place(drawing.pixels.shape[:2], size, placement, np.random.default_rng(key))
        height, width = drawing.pixels.shape[:2]
        pixels = torch.from_numpy(drawing.pixels.copy()).movedim(-1, 0)
        mask[0, top : top + height, left : left + width] = pixels[3]
        composed = GROUNDS[ground](size, key)
        part = composed[:, top : top + height, left : left + width]
        part.mul_(1 - pixels[3] / 255).add_(pixels[:3] / 255)
        image.copy_((255 * composed).round().clamp(0, 255))
    labels = torch.tensor([classes.index(drawing.subject) for drawing in drawings], dtype=torch.long)
    return ImageSet(images, labels), masks


def _place(shape: Sequence[int], size: int, placement: Placement, rng: np.random.Generator) -> list[int]:
    """Top and left of an object."""
    margin, corner = size // ROOM, rng.integers(2, size=2)
    found = []
    for length, far in zip(shape, corner, strict=True):
        limit = size // 2 if placement.corner else size - margin
        start = int(rng.integers(margin, max(margin, limit - length) + 1))
        found.append(size - start - length if placement.corner and far else start)
    return found
