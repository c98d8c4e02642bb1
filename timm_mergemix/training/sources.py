"""Where the demo's images come from: the first source that is there."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.datasets import FashionMNIST
from torchvision.transforms import v2

from ..errors import MergeMixError, Words, check_int, need, wrong
from .folder import PathDataset, find_folder
from .idx import has_idx, read_split
from .images import ImageSet

__all__ = ["DemoData", "Pool", "Source", "draw_splits", "fashion_mnist", "find_source", "from_digits"]

DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # where Debian's package dataset-fashion-mnist puts its files
FOLDER_SIZE = 64
DOWNLOAD_TIMEOUT = 30.0


class Pool(Protocol):
    """Images that can be taken by index."""

    def __len__(self) -> int: ...

    def take(self, indices: Tensor) -> ImageSet:
        """The images at ``indices``."""
        ...


@dataclass(frozen=True)
class Source:
    """A data set, before images are drawn from it.

    Attributes:
        name: What it is.
        origin: Where it was found.
        train: The training split.
        test: The test split, never trained on.
        classes: Names of the classes.
        patch: Side of the model's patches in pixels.
        pad: Padding of the random crop.
        flip: Whether images may be flipped.
    """

    name: str
    origin: str
    train: Pool
    test: Pool
    classes: tuple[str, ...]
    patch: int
    pad: int
    flip: bool


@dataclass(frozen=True)
class DemoData:
    """Images drawn from a source: ``train`` and ``val`` from its training split, ``test`` from its test split."""

    source: Source
    train: ImageSet
    val: ImageSet
    test: ImageSet


class MissingError(MergeMixError):
    """Images that are not there and cannot be downloaded."""


def find_source(data: str | Path | None, say: Callable[[str], None]) -> Source:
    """The first source there is of ``data``, Debian's Fashion-MNIST, torchvision's download of it, and the digits.

    Args:
        data: A directory with Fashion-MNIST's idx files or an image folder. None looks elsewhere.
        say: Takes a line that says what was tried.

    Raises:
        MergeMixError: If ``data`` holds nothing usable, or nothing at all was found.
    """
    if data is not None:
        return from_idx(Path(data)) if has_idx(Path(data)) else from_folder(Path(data))
    try:
        return fashion_mnist()
    except MissingError as error:
        say(f"{error}; using scikit-learn's digits instead.")
    return from_digits()


def fashion_mnist() -> Source:
    """Debian's Fashion-MNIST, or torchvision's download of it.

    Raises:
        MissingError: If it is not there and cannot be downloaded.
    """
    if has_idx(DEBIAN):
        return from_idx(DEBIAN)
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "timm-mergemix"
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:  # torchvision downloads it unless it did so before
        sets = [FashionMNIST(str(root), train=train, download=True) for train in (True, False)]
    except (OSError, RuntimeError) as error:
        # torchvision reports an unreachable mirror as URLError (an OSError) or as RuntimeError.
        reason = " ".join(str(error).split())  # torchvision writes several lines
        raise MissingError(f"Fashion-MNIST could not be downloaded ({reason})") from error
    finally:
        socket.setdefaulttimeout(before)
    train, test = (ImageSet(each.data.unsqueeze(1), each.targets.long()) for each in sets)
    return _fashion(train, test, f"downloaded by torchvision to {root}")


def from_folder(directory: Path) -> Source:
    """An image folder, its images cut to small squares."""
    splits = find_folder(directory)
    small = v2.Compose([v2.PILToTensor(), v2.Resize(FOLDER_SIZE, antialias=True), v2.CenterCrop(FOLDER_SIZE)])
    train, test = (PathDataset(samples, small) for samples in (splits.train, splits.val))
    origin = f"{directory}; {splits.how}"
    return Source("image folder", origin, train, test, splits.classes, FOLDER_SIZE // 8, FOLDER_SIZE // 8, True)


def from_idx(directory: Path) -> Source:
    """Fashion-MNIST's four idx files."""
    train, test = (ImageSet(*read_split(directory, split)) for split in ("train", "test"))
    return _fashion(train, test, str(directory))


def _fashion(train: ImageSet, test: ImageSet, origin: str) -> Source:
    count = int(torch.cat([train.labels, test.labels]).max()) + 1
    known = tuple(FashionMNIST.classes)
    classes = known if count <= len(known) else tuple(map(str, range(count)))
    return Source("Fashion-MNIST", origin, train, test, classes, 4, 2, True)


def from_digits() -> Source:
    """The 1,797 handwritten digits of 8 x 8 pixels of scikit-learn, at 28 x 28 pixels; every fifth is a test image."""
    loaded = need("sklearn.datasets", "the demo without other data").load_digits()
    # Enlarged, since layer normalisation would remove the content of patches of one pixel.
    large = F.interpolate(torch.from_numpy(loaded.images).unsqueeze(1), size=28, mode="bilinear")
    images = large.mul(255 / 16).round().to(torch.uint8)
    everything = ImageSet(images, torch.from_numpy(loaded.target).long())
    is_test = torch.arange(len(everything)) % 5 == 4
    train, test = (everything.take(which.nonzero().flatten()) for which in (~is_test, is_test))
    return Source("scikit-learn's digits", "scikit-learn", train, test, tuple("0123456789"), 4, 2, False)


def draw_splits(source: Source, train_size: int, val_size: int, test_size: int, seed: int) -> DemoData:
    """Draws the images of a run. Of a small source, at most a fifth of the training split is for validation.

    Args:
        source: Where to draw from.
        train_size: Training images, from the source's training split.
        val_size: Images for the learning curves, from the same split, none of them a training image.
        test_size: The most test images, from the test split.
        seed: The same seed draws the same images.

    Raises:
        MergeMixError: If a size is not a positive integer, or the source is too small.
    """
    for name, size in (("train_size", train_size), ("val_size", val_size), ("test_size", test_size)):
        check_int(name, size, 1)
    generator = torch.Generator().manual_seed(seed)
    available = len(source.train)
    val_size = max(1, min(val_size, available // 5))
    order = torch.randperm(available, generator=generator)
    val, train = order[:val_size], order[val_size:][:train_size]
    if len(train) < 2:
        if train_size < 2:
            raise wrong("train_size", train_size, "at least 2")
        raise wrong("data", Words(f"{available} training images"), "at least 3")
    test = torch.randperm(len(source.test), generator=generator)[:test_size].sort().values
    return DemoData(source, source.train.take(train), source.train.take(val), source.test.take(test))
