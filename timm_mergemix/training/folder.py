"""Image folders: one directory per class."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.datasets.folder import IMG_EXTENSIONS, make_dataset

from ..errors import unusable, wrong
from .images import ImageSet

__all__ = ["FolderSplits", "PathDataset", "Sample", "digest_of", "find_folder", "read_image"]

Sample = tuple[str, int]
VALIDATION_NAMES = ("val", "validation", "test")


@dataclass(frozen=True)
class FolderSplits:
    """The images of a folder.

    Attributes:
        train: Paths and classes of the training images.
        val: Those of the validation images.
        classes: Names of the classes, sorted.
        how: Where the validation images come from, in words.
    """

    train: tuple[Sample, ...]
    val: tuple[Sample, ...]
    classes: tuple[str, ...]
    how: str


def find_folder(directory: Path) -> FolderSplits:
    """Lists an image folder: DIR/train/CLASS and DIR/val/CLASS, or DIR/CLASS with every fifth image held out.

    Raises:
        MergeMixError: If there is no such directory, there are fewer than two classes, or a class has no image.
    """
    if not directory.is_dir():
        raise wrong("data", str(directory), "an existing directory")
    train = directory / "train" if (directory / "train").is_dir() else directory
    val = next((directory / name for name in VALIDATION_NAMES if (directory / name).is_dir()), None)
    classes = _classes(train) if train != directory or val is None else ()
    if len(classes) < 2:
        wanted = "train/CLASS/ and val/CLASS/, or CLASS/ for at least two classes, with images inside"
        raise unusable("data", f"{directory} has no image folder, wanted {wanted}")
    index = {name: i for i, name in enumerate(classes)}
    samples = _list_images(train, index)
    if val is None:
        kept, held_out = _hold_out(samples)
        return FolderSplits(kept, held_out, classes, f"every fifth image of each class of {train} is held out")
    there = _classes(val)
    unknown = [name for name in there if name not in index]
    if unknown:
        raise unusable("data", f"{val} has classes that {train} lacks: {', '.join(unknown[:5])}")
    if not there:
        raise unusable("data", f"{val} has no folder of a class, wanted {val.name}/CLASS/ with images inside")
    held_out = _list_images(val, {name: index[name] for name in there})
    return FolderSplits(samples, held_out, classes, f"validation images are those of {val}")


def digest_of(samples: Sequence[Sample], root: Path) -> str:
    """Tells sets of images apart by the names below ``root``, classes and sizes of their files."""
    files = ((Path(path), label) for path, label in samples)
    lines = (f"{path.relative_to(root).as_posix()} {label} {path.stat().st_size}" for path, label in files)
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]


def _classes(directory: Path) -> tuple[str, ...]:
    """Names of the class directories, without those that other programs leave and torchvision takes for classes."""
    return tuple(sorted(p.name for p in directory.iterdir() if p.is_dir() and not p.name.startswith((".", "_"))))


def _list_images(directory: Path, classes: Mapping[str, int]) -> tuple[Sample, ...]:
    try:
        return tuple(make_dataset(directory, dict(classes), IMG_EXTENSIONS))
    except FileNotFoundError as error:  # a class without images
        raise unusable("data", f"{directory}: {error}") from error


def _hold_out(samples: Sequence[Sample]) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """What is kept, and what is held out: every fifth image of a class, or the last one of a class with fewer."""
    kept: list[Sample] = []
    held_out: list[Sample] = []
    for label in sorted({label for _, label in samples}):
        members = [sample for sample in samples if sample[1] == label]
        every = min(5, len(members))
        if every < 2:
            raise unusable("data", f"{Path(members[0][0]).parent} has one image, wanted at least two to hold one out")
        for i, sample in enumerate(members):
            (held_out if i % every == every - 1 else kept).append(sample)
    return tuple(kept), tuple(held_out)


def read_image(path: str | Path, argument: str = "data") -> Image.Image:
    """An image file in RGB.

    Raises:
        MergeMixError: If it cannot be read; it names the argument by which the file was given.
    """
    try:
        with Image.open(path) as image:
            if image.mode == "P" and "transparency" in image.info:  # Pillow warns unless it goes by way of RGBA
                return image.convert("RGBA").convert("RGB")
            return image.convert("RGB")
    except Exception as error:  # whatever Pillow raises for a file that is damaged, or far too large
        raise unusable(argument, f"{path} cannot be read as an image: {error}") from error


@dataclass
class PathDataset(Dataset[tuple[Any, int]]):
    """Images on disk that are read when they are taken: paths and classes, and a function of the PIL image."""

    samples: Sequence[Sample]
    transform: Callable[[Image.Image], Any]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        path, label = self.samples[index]
        return self.transform(read_image(path)), label

    def take(self, indices: Tensor) -> ImageSet:
        """The images at ``indices``, where the transform leaves them uint8 and of one size."""
        images, labels = zip(*(self[i] for i in indices.tolist()), strict=True)
        return ImageSet(torch.stack(images), torch.tensor(labels))
