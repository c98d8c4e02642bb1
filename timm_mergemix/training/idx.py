"""Reads the idx files of the MNIST family, with torchvision's reader."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import Tensor
from torchvision.datasets.mnist import read_image_file, read_label_file
from torchvision.datasets.utils import extract_archive

from ..errors import unusable

__all__ = ["has_idx", "read_split"]

PREFIXES = {"train": "train", "test": "t10k"}
READERS: dict[str, Callable[[str], Tensor]] = {"images-idx3": read_image_file, "labels-idx1": read_label_file}


def has_idx(directory: Path) -> bool:
    """Whether all four files of an MNIST-like data set are there, plain or gzipped."""
    return all(_find(directory, split, kind) for split in PREFIXES for kind in READERS)


def read_split(directory: Path, split: str) -> tuple[Tensor, Tensor]:
    """Images (N, 1, H, W) uint8 and labels (N,) int64 of one split, ``"train"`` or ``"test"``.

    Raises:
        MergeMixError: If a file is missing, damaged, or images and labels do not belong together.
    """
    paths = {kind: _find(directory, split, kind) for kind in READERS}
    found = [_read(path, READERS[kind]) for kind, path in paths.items() if path is not None]
    if len(found) != len(READERS):
        raise unusable("data", f"{directory} lacks the idx files of the {split} split")
    images, labels = found
    if len(images) != len(labels):
        counts = f"{len(images)} images and {len(labels)} labels"
        raise unusable("data", f"the {split} split in {directory} has {counts}")
    return images.unsqueeze(1), labels


def _find(directory: Path, split: str, kind: str) -> Path | None:
    name = f"{PREFIXES[split]}-{kind}-ubyte"
    return next((path for path in (directory / name, directory / f"{name}.gz") if path.is_file()), None)


def _read(path: Path, read: Callable[[str], Tensor]) -> Tensor:
    with TemporaryDirectory() as temporary:
        try:
            return read(extract_archive(str(path), temporary) if path.suffix == ".gz" else str(path))
        # What torchvision raises for a damaged file; an assertion has no message.
        except (AssertionError, EOFError, KeyError, OSError, RuntimeError, TypeError, ValueError, zlib.error) as error:
            reason = str(error) or "its header or its size is wrong"
            raise unusable(path, f"cannot be read as an idx file of unsigned bytes: {reason}") from error
