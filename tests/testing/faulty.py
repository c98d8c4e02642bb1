"""A short mixer that keeps every invariant, and subclasses of it with one planted fault each."""

from __future__ import annotations

import random
import time
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

CLASSES = 5


class Mixup:
    """Mixup of each image with the one before it; each step that a subclass changes is a method."""

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        lam = self.draw()
        return self.blend(images, self.partners(images), lam), self.targets(labels, lam)

    def draw(self) -> float:
        return float(torch.rand(()))

    def partners(self, images: Tensor) -> Tensor:
        return images.roll(1, 0)

    def blend(self, own: Tensor, partners: Tensor, lam: float) -> Tensor:
        work = torch.promote_types(own.dtype, torch.float32)
        return self.to_dtype(lam * own.to(work) + (1 - lam) * partners.to(work), own.dtype)

    def to_dtype(self, mixed: Tensor, dtype: torch.dtype) -> Tensor:
        return mixed.round().to(dtype) if dtype == torch.uint8 else mixed.to(dtype)

    def one_hot(self, labels: Tensor) -> Tensor:
        return F.one_hot(labels, CLASSES).float() * 0.9 + 0.1 / CLASSES

    def targets(self, labels: Tensor, lam: float) -> Tensor:
        rows = self.one_hot(labels)
        return lam * rows + (1 - lam) * rows.roll(1, 0)


class CutMix(Mixup):
    """Combines the left part of each image with the rest of the one before it."""

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        lam, width = self.draw(), images.shape[3]
        kept = int(lam * width)
        mixed = images.clone()
        mixed[..., kept:] = images.roll(1, 0)[..., kept:]
        return mixed, self.targets(labels, self.share(lam, kept, width))

    def share(self, lam: float, kept: int, width: int) -> float:
        return kept / width


class DrawnLambda(CutMix):
    def share(self, lam: float, kept: int, width: int) -> float:
        return lam


class WrongPartner(Mixup):
    def targets(self, labels: Tensor, lam: float) -> Tensor:
        rows = self.one_hot(labels)
        return lam * rows + (1 - lam) * rows.flip(0)


class SwappedShares(Mixup):
    def targets(self, labels: Tensor, lam: float) -> Tensor:
        return super().targets(labels, 1 - lam)


class InPlace(Mixup):
    def blend(self, own: Tensor, partners: Tensor, lam: float) -> Tensor:
        return own.copy_(super().blend(own, partners, lam))


class LabelsInPlace(Mixup):
    def targets(self, labels: Tensor, lam: float) -> Tensor:
        made = super().targets(labels, lam)
        labels.copy_(labels.roll(1, 0))
        return made


class OtherDtype(Mixup):
    def to_dtype(self, mixed: Tensor, dtype: torch.dtype) -> Tensor:
        return mixed


class SmoothedTwice(Mixup):
    def one_hot(self, labels: Tensor) -> Tensor:
        return super().one_hot(labels) + 0.1 / CLASSES


class NegativeTargets(Mixup):
    def one_hot(self, labels: Tensor) -> Tensor:
        return F.one_hot(labels, CLASSES) * 1.1 - 0.1 / CLASSES


class SmoothedByRow(Mixup):
    """Smoothing grows with the position in the batch."""

    def one_hot(self, labels: Tensor) -> Tensor:
        share = torch.arange(len(labels)).unsqueeze(1) / 20
        return F.one_hot(labels, CLASSES) * (1 - share) + share / CLASSES


class Overflow(Mixup):
    """An unsharp mask whose sums wrap around in uint8."""

    def to_dtype(self, mixed: Tensor, dtype: torch.dtype) -> Tensor:
        return (2 * mixed).to(torch.int32).to(dtype) if dtype == torch.uint8 else mixed.to(dtype)


class TruncatedBytes(Mixup):
    def to_dtype(self, mixed: Tensor, dtype: torch.dtype) -> Tensor:
        return mixed.floor().to(dtype) if dtype == torch.uint8 else mixed.to(dtype)


class TruncatedHalves(Mixup):
    """Truncates to float16 instead of rounding to the nearest number."""

    def to_dtype(self, mixed: Tensor, dtype: torch.dtype) -> Tensor:
        if dtype != torch.float16:
            return super().to_dtype(mixed, dtype)
        return (mixed.contiguous().view(torch.int32) & ~0x1FFF).view(torch.float32).to(dtype)


class HalfTargets(Mixup):
    """Computes lambda in the precision of the images."""

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        lam = self.draw()
        rounded = float(torch.tensor(lam, dtype=images.dtype)) if images.is_floating_point() else lam
        return self.blend(images, self.partners(images), lam), self.targets(labels, rounded)


class Clock(Mixup):
    def draw(self) -> float:
        return time.perf_counter_ns() % 997 / 997


class OtherRandomness(Mixup):
    def draw(self) -> float:
        return random.random()


class Counter(Mixup):
    """Depends on how often it was called."""

    calls = 0

    def draw(self) -> float:
        self.calls += 1
        return float(torch.rand(())) / self.calls


class WrongLayout(Mixup):
    """Reads the memory as if images were contiguous."""

    def partners(self, images: Tensor) -> Tensor:
        dense = images.is_contiguous() or images.is_contiguous(memory_format=torch.channels_last)
        return images.as_strided(images.shape, torch.empty(images.shape).stride()).roll(1, 0) if dense else images


class ReadsLabels(Mixup):
    """Mixes the targets of the first class, but not its images."""

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        mixed, targets = super().__call__(images, labels)
        return torch.where((labels == 0).view(-1, 1, 1, 1), images, mixed), targets


class LikesAClass(Mixup):
    """Gives the last class more of the mix than its share."""

    def targets(self, labels: Tensor, lam: float) -> Tensor:
        return super().targets(labels, lam if labels[0] < CLASSES - 1 else lam**2)


class AcrossChannels(Mixup):
    def partners(self, images: Tensor) -> Tensor:
        return images.roll(1, 0).roll(1, 1)


class Brighter(Mixup):
    """Weights that do not sum to 1."""

    def blend(self, own: Tensor, partners: Tensor, lam: float) -> Tensor:
        return super().blend(own, partners, lam) if own.dtype == torch.uint8 else lam * own + partners * (1.1 - lam)


class NotANumber(Mixup):
    """Normalises by the range of the batch, which is 0 for black images."""

    def blend(self, own: Tensor, partners: Tensor, lam: float) -> Tensor:
        if own.dtype == torch.uint8:
            return super().blend(own, partners, lam)
        weight = (own - own.amin()) / (own.amax() - own.amin())
        return super().blend(own, partners, lam) + 0 * weight


class NotANumberInTargets(Mixup):
    """Computes 0/0 for a batch in which nothing is mixed."""

    def targets(self, labels: Tensor, lam: float) -> Tensor:
        other = (labels != labels.roll(1, 0)).float().sum()
        return super().targets(labels, lam) * (other / other if len(labels) > 1 else 1)


class EvenOnly(Mixup):
    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        if len(images) % 2:
            raise ValueError("an even batch is wanted")
        return super().__call__(images, labels)


class ImagesAlone(Mixup):
    def __call__(self, images: Tensor, labels: Tensor) -> Any:
        return super().__call__(images, labels)[0]


class NoRows(Mixup):
    def targets(self, labels: Tensor, lam: float) -> Tensor:
        return labels
