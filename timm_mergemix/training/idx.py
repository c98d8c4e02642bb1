"""Reads the idx files of the MNIST family."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import Words, unusable, wrong

__all__ = ["find_idx", "has_idx", "read_idx", "read_split"]

_PREFIXES = {"train": "train", "test": "t10k"}
_KINDS = {"images": "idx3", "labels": "idx1"}


def read_idx(path: Path) -> Tensor:
    """One idx file of unsigned bytes, plain or gzipped, as a uint8 tensor.

    Raises:
        MergeMixError: If the file is damaged or holds something else.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read()
    except (OSError, EOFError) as error:
        raise unusable(path, f"cannot be read as an idx file: {error}") from error
    # Two zero bytes, a byte for the type (8: unsigned byte), a byte for the number of dimensions, then their sizes.
    dims = data[3] if len(data) >= 4 else 0
    if data[:3] != b"\x00\x00\x08" or len(data) < 4 + 4 * dims:
        raise wrong(path, Words(f"a file that starts with {data[:4]!r}"), "an idx file of unsigned bytes")
    shape = tuple(int(size) for size in np.frombuffer(data, ">u4", dims, offset=4))
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * dims)
    if values.size != int(np.prod(shape)):
        raise wrong(path, Words(f"{values.size} values"), f"{int(np.prod(shape))} for the shape {shape}")
    return torch.from_numpy(values.reshape(shape).copy())


def find_idx(directory: Path, split: str, kind: str) -> Path | None:
    """The idx file of a split, or None.

    Args:
        directory: Where to look.
        split: ``"train"`` or ``"test"``.
        kind: ``"images"`` or ``"labels"``.
    """
    name = f"{_PREFIXES[split]}-{kind}-{_KINDS[kind]}-ubyte"
    return next((path for path in (directory / name, directory / f"{name}.gz") if path.is_file()), None)


def has_idx(directory: Path) -> bool:
    """Whether all four files of an MNIST-like data set are there."""
    return all(find_idx(directory, split, kind) for split in _PREFIXES for kind in _KINDS)


def read_split(directory: Path, split: str) -> tuple[Tensor, Tensor]:
    """Images (N, 1, H, W) uint8 and labels (N,) int64 of one split.

    Raises:
        MergeMixError: If a file is missing, damaged, or images and labels do not belong together.
    """
    found = {kind: find_idx(directory, split, kind) for kind in _KINDS}
    paths = [path for path in found.values() if path is not None]
    if len(paths) != len(_KINDS):
        raise unusable("data", f"{directory} lacks the idx files of the {split} split")
    images, labels = (read_idx(path) for path in paths)
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        shapes = f"{tuple(images.shape)} and {tuple(labels.shape)}"
        raise unusable("data", f"images and labels of the {split} split in {directory} have the shapes {shapes}")
    return images.unsqueeze(1), labels.long()
