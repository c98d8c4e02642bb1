"""Made data: idx files, image folders, and a small image set that can be learnt."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from timm_mergemix.training.images import ImageSet


def striped(count: int, size: int = 8, channels: int = 1, classes: int = 2, seed: int = 0) -> ImageSet:
    """Noise with a bright half: the upper one for even classes, the lower one for odd classes."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    images = torch.randint(0, 60, (count, channels, size, size), generator=generator, dtype=torch.uint8)
    for image, label in zip(images, labels.tolist(), strict=True):
        rows = slice(0, size // 2) if label % 2 == 0 else slice(size // 2, size)
        image[:, rows] += 120
    return ImageSet(images, labels)


def write_idx(path: Path, values: Tensor) -> Path:
    """Writes an idx file; gzipped if its name ends so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = bytes([0, 0, 8, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
    data = header + values.to(torch.uint8).numpy().tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def write_fashion(directory: Path, train: int = 40, test: int = 20, size: int = 8, suffix: str = ".gz") -> Path:
    """The four files of a small Fashion-MNIST."""
    for prefix, count, seed in (("train", train, 0), ("t10k", test, 1)):
        part = striped(count, size, seed=seed)
        write_idx(directory / f"{prefix}-images-idx3-ubyte{suffix}", part.images[:, 0])
        write_idx(directory / f"{prefix}-labels-idx1-ubyte{suffix}", part.labels)
    return directory


def write_folder(directory: Path, classes: Sequence[str] = ("cat", "dog"), each: int = 10, size: int = 16) -> Path:
    """An image folder with a directory for each class."""
    part = striped(each * len(classes), size, channels=3, classes=len(classes))
    for i, (image, label) in enumerate(zip(part.images, part.labels.tolist(), strict=True)):
        path = directory / classes[label] / f"{i:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.movedim(0, -1).numpy()).save(path)
    return directory
