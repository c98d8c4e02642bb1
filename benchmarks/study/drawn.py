"""Tasks of drawings by subject, whose objects are known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from timm_mergemix.training.images import MemoryBatches
from timm_mergemix.training.model import build_model, small_vit
from timm_mergemix.weights import from_file

from .clipart import CutOut, Placement, read_cut_outs, render
from .grounds import SWAPPED
from .masks import MaskedBatches
from .memory import IMAGENET
from .places import Places
from .setup import HeldOut, Setup

__all__ = ["FromClipart", "split_drawings"]

TEST = 0.4  # share of the drawings of a subject
LEAST_VALIDATION = 3  # drawings of a subject
CURVE = 150
EVALUATION_BATCH = 100
ROOM = 14  # a crop moves an image by one part in so many, less than what objects keep from its edges


@dataclass(frozen=True)
class FromClipart:
    """Drawings of Debian's package openclipart-png, with masks of their objects.

    Attributes:
        size: Height and width of the images.
        placement: Where objects stand.
        each: Training images of a class at most; the seed draws them.
        batch_size: Images a step.
        model: Name of a pretrained timm model; None for a ViT of 6 blocks and 64 channels from scratch.
    """

    size: int
    placement: Placement
    each: int
    batch_size: int
    model: str | None

    @property
    def facts(self) -> list[Any]:
        """All that it is made of."""
        return [self.size, self.placement.side, self.placement.corner, self.each, self.batch_size, self.model]

    def __call__(self, seed: int, device: torch.device, places: Places) -> Setup:
        """The task with the seed's images and weights."""
        drawings = read_cut_outs(places.data, round(self.placement.side * self.size))
        classes = tuple(dict.fromkeys(drawing.subject for drawing in drawings))
        train, val, test = split_drawings(drawings, self.each, seed)
        images, masks = render(train, classes, self.size, self.placement)
        batches = MaskedBatches(
            images, masks, self.batch_size, IMAGENET, pad=self.size // ROOM, flip=True, device=device
        )

        def shown(part: Sequence[CutOut], ground: str = "own") -> MemoryBatches:
            images, _ = render(part, classes, self.size, self.placement, ground)
            return MemoryBatches(images, EVALUATION_BATCH, IMAGENET, device=device)

        def held_out(part: Sequence[CutOut]) -> HeldOut:
            images = shown(part)
            return HeldOut(images, images, images, {ground: shown(part, ground) for ground in SWAPPED})

        model = self.build(len(classes), places).to(device)
        return Setup(
            model,
            len(classes),
            IMAGENET,
            batches,
            held_out(val),
            held_out(test),
            shown(val[:CURVE]),
            batches.masks_of,
        )

    def build(self, classes: int, places: Places) -> nn.Module:
        """The model with a new head."""
        if self.model is None:
            return small_vit((3, self.size, self.size), self.size // 8, classes, width=64, depth=6)
        weights = from_file(places.weights) if places.weights else {}
        return build_model(self.model, classes, pretrained=True, img_size=self.size, kwargs=weights)


def split_drawings(drawings: Sequence[CutOut], each: int, seed: int) -> tuple[list[CutOut], list[CutOut], list[CutOut]]:
    """Training, validation and test drawings. Which ones are for tests is decided by digests, not by the seed.

    Args:
        drawings: By subject and digest.
        each: Training drawings of a subject at most; of those that are not for tests some are left for validation.
        seed: Draws the training drawings, and the order of all, so that batches are of many subjects.
    """
    subjects: dict[str, list[CutOut]] = defaultdict(list)
    for drawing in drawings:
        subjects[drawing.subject].append(drawing)
    generator = torch.Generator().manual_seed(seed)
    train, val, test = [], [], []
    for own in subjects.values():
        known = len(own) - round(TEST * len(own))
        drawn = [own[i] for i in torch.randperm(known, generator=generator)]
        count = min(each, known - LEAST_VALIDATION)
        train += drawn[:count]
        val += drawn[count:]
        test += own[known:]
    shuffled = [[part[i] for i in torch.randperm(len(part), generator=generator)] for part in (train, val, test)]
    return shuffled[0], shuffled[1], shuffled[2]
