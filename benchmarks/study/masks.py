"""Masks of objects that are augmented with their images, and that a mixer can ask for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from timm_mergemix.errors import Words, wrong
from timm_mergemix.training.images import ImageSet, MemoryBatches, Statistics

__all__ = ["MaskedBatches"]


class MaskedBatches:
    """Training batches of images with masks, which give images and labels as all others do.

    Mask and image are one tensor while they are augmented, so that crops and flips are the same for both. What is given
    are the images alone. Who has a batch can ask for its masks by `masks_of`.

    Args:
        images: The images.
        masks: (N, 1, H, W) uint8, 255 where the object is.
        batch_size: See `MemoryBatches`.
        statistics: See `MemoryBatches`.
        **options: See `MemoryBatches`.
    """

    def __init__(
        self, images: ImageSet, masks: Tensor, batch_size: int, statistics: Statistics, **options: Any
    ) -> None:
        both = ImageSet(torch.cat([images.images, masks], dim=1), images.labels)
        kept = Statistics((*statistics.mean, 0.0), (*statistics.std, 1.0))  # masks stay from 0 to 1
        self._batches = MemoryBatches(both, batch_size, kept, train=True, **options)
        self._given: tuple[Tensor, Tensor] | None = None

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for both, labels in self._batches:
            images, masks = both[:, :-1].contiguous(), both[:, -1].contiguous()
            self._given = images, masks
            yield images, labels

    def masks_of(self, images: Tensor) -> Tensor:
        """The masks (B, H, W) of the batch that was given last, from 0 to 1.

        Args:
            images: The batch itself, as it was given.

        Raises:
            MergeMixError: If these are other images.
        """
        if self._given is None or images is not self._given[0]:
            raise wrong("images", Words("images without known masks"), "the batch that was given last")
        return self._given[1]
