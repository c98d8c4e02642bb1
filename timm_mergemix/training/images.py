"""Images in memory, and batches of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2.functional import normalize

__all__ = ["ImageSet", "MemoryBatches", "Statistics", "crop_and_flip"]


@dataclass(frozen=True)
class ImageSet:
    """Images and their classes.

    Attributes:
        images: (N, C, H, W) uint8.
        labels: (N,) int64.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def shuffled(self, seed: int) -> ImageSet:
        """All images, in an order that is drawn from the seed."""
        return self.take(torch.randperm(len(self), generator=torch.Generator().manual_seed(seed)))

    def take(self, indices: Tensor) -> ImageSet:
        """The images at ``indices``."""
        return ImageSet(self.images[indices], self.labels[indices])


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation per channel, of pixel values from 0 to 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, images: Tensor) -> Statistics:
        """The statistics of ``images``, (N, C, H, W) uint8."""
        channels = images.double().div(255).transpose(0, 1).flatten(1)
        std = channels.std(dim=1).clamp(min=1e-3)
        return cls(tuple(channels.mean(dim=1).tolist()), tuple(std.tolist()))

    def normalize(self, images: Tensor) -> Tensor:
        """Normalises images with values from 0 to 1."""
        return normalize(images, list(self.mean), list(self.std))


def crop_and_flip(images: Tensor, pad: int, flip: bool) -> Tensor:
    """A random crop after zero padding and a random horizontal flip, drawn for each image from torch's generator.

    torchvision's transforms draw once per call, so they would have to be called image by image.

    Args:
        images: (B, C, H, W).
        pad: Pixels of padding on each side.
        flip: Whether half of the images are flipped.

    Returns:
        Images of the same shape.
    """
    batch, _, height, width = images.shape
    offset = torch.randint(0, 2 * pad + 1, (2, batch, 1))
    rows = torch.arange(height) + offset[0]
    columns = torch.arange(width) + offset[1]
    if flip:
        columns = torch.where(torch.rand(batch, 1) < 0.5, columns.flip(1), columns)
    padded = F.pad(images, (pad, pad, pad, pad)).movedim(1, -1)
    which = torch.arange(batch).view(-1, 1, 1)
    cropped = padded[which, rows[:, :, None], columns[:, None, :]]
    return cropped.movedim(-1, 1).contiguous()


@dataclass
class MemoryBatches:
    """Normalised batches of an `ImageSet`.

    Attributes:
        images: Where the batches come from.
        batch_size: Images per batch. Training drops a last batch that is smaller.
        statistics: For the normalisation.
        train: Whether images are shuffled and augmented; the randomness is torch's.
        pad: Padding of the random crop.
        flip: Whether half of the images are flipped.
        device: Where the batches go.
    """

    images: ImageSet
    batch_size: int
    statistics: Statistics
    train: bool = False
    pad: int = 0
    flip: bool = False
    device: str | torch.device = "cpu"

    def __len__(self) -> int:
        count = len(self.images)
        return count // self.batch_size if self.train else -(-count // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        count = len(self.images)
        order = torch.randperm(count) if self.train else torch.arange(count)
        for indices in order.split(self.batch_size)[: len(self)]:
            part = self.images.take(indices)
            images = crop_and_flip(part.images, self.pad, self.flip) if self.train else part.images
            normal = self.statistics.normalize(images.to(self.device).float().div(255))
            yield normal, part.labels.to(self.device)
