"""Image folders: one directory per class."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.datasets.folder import IMG_EXTENSIONS
from torchvision.transforms import v2

from ..errors import unusable, wrong
from .images import ImageSet

__all__ = ["FolderSplits", "PathDataset", "PathPool", "Sample", "digest_of", "find_folder", "read_image"]

Sample = tuple[Path, int]
_VALIDATION_NAMES = ("val", "validation", "test")


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
        MergeMixError: If there is no directory, are fewer than two classes, or a class has no image.
    """
    if not directory.is_dir():
        raise wrong("data", str(directory), "an existing directory")
    train = directory / "train" if (directory / "train").is_dir() else directory
    val = next((directory / name for name in _VALIDATION_NAMES if (directory / name).is_dir()), None)
    classes = _classes(train) if train != directory or val is None else ()
    if len(classes) < 2:
        wanted = "train/CLASS/ and val/CLASS/, or CLASS/ for at least two classes, with images inside"
        raise unusable("data", f"{directory} has no image folder, wanted {wanted}")
    samples = _list_images(train, classes)
    if train == directory or val is None:
        kept, held_out = _hold_out(samples)
        return FolderSplits(kept, held_out, classes, f"every fifth image of each class of {train} is held out")
    unknown = sorted(set(_classes(val)) - set(classes))
    if unknown:
        raise unusable("data", f"{val} has classes that {train} lacks: {', '.join(unknown[:5])}")
    held_out = _list_images(val, tuple(name for name in classes if (val / name).is_dir()), classes)
    if not held_out:
        raise unusable("data", f"{val} has no folder of a class, wanted {val.name}/CLASS/ with images inside")
    return FolderSplits(samples, held_out, classes, f"validation images are those of {val}")


def digest_of(samples: Sequence[Sample], root: Path) -> str:
    """Tells sets of images apart by the names below ``root``, classes and sizes of their files."""
    lines = (f"{path.relative_to(root).as_posix()} {label} {path.stat().st_size}" for path, label in samples)
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]


def _classes(directory: Path) -> tuple[str, ...]:
    hidden = (".", "_")
    return tuple(sorted(p.name for p in directory.iterdir() if p.is_dir() and not p.name.startswith(hidden)))


def _list_images(directory: Path, names: Sequence[str], classes: Sequence[str] | None = None) -> tuple[Sample, ...]:
    classes = names if classes is None else classes
    samples: list[Sample] = []
    for name in names:
        paths = sorted(path for path in (directory / name).rglob("*") if path.suffix.lower() in IMG_EXTENSIONS)
        if not paths:
            raise unusable("data", f"{directory / name} has no images ({', '.join(IMG_EXTENSIONS)})")
        samples += [(path, classes.index(name)) for path in paths]
    return tuple(samples)


def _hold_out(samples: Sequence[Sample]) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """Every fifth image of a class, or the last one of a class with fewer, to the right."""
    by_class: dict[int, list[Sample]] = {}
    for sample in samples:
        by_class.setdefault(sample[1], []).append(sample)
    kept: list[Sample] = []
    held_out: list[Sample] = []
    for members in by_class.values():
        every = min(5, len(members))
        if every < 2:
            raise unusable("data", f"{members[0][0].parent} has one image, wanted at least two to hold one out")
        for i, sample in enumerate(members):
            (held_out if i % every == every - 1 else kept).append(sample)
    return tuple(kept), tuple(held_out)


def read_image(path: Path, argument: str = "data") -> Image.Image:
    """An image file in RGB.

    Args:
        path: The file.
        argument: Where it was given, for the error.

    Raises:
        MergeMixError: If it cannot be read.
    """
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:  # a damaged PNG is a SyntaxError
        raise unusable(argument, f"{path} cannot be read as an image: {error}") from error


class PathDataset(Dataset[tuple[Any, int]]):
    """Images from disk.

    Args:
        samples: Paths and classes.
        transform: PIL image -> tensor.
    """

    def __init__(self, samples: Sequence[Sample], transform: Callable[[Image.Image], Any]) -> None:
        self.samples = samples
        self.transform = transform

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        path, label = self.samples[index]
        return self.transform(read_image(path)), label


class PathPool:
    """Images on disk that are read when they are taken, as small squares.

    Args:
        samples: Paths and classes.
        size: Side in pixels.
    """

    def __init__(self, samples: Sequence[Sample], size: int) -> None:
        self.samples = samples
        self.transform = v2.Compose([v2.PILToTensor(), v2.Resize(size, antialias=True), v2.CenterCrop(size)])

    def __len__(self) -> int:
        return len(self.samples)

    def take(self, indices: Tensor) -> ImageSet:
        """The images at ``indices``."""
        chosen = [self.samples[i] for i in indices.tolist()]
        images = torch.stack([self.transform(read_image(path)) for path, _ in chosen])
        return ImageSet(images, torch.tensor([label for _, label in chosen]))
