"""A loader whose batches are mixed on the device, in place of timm's mixing in the workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from ..mix.mixer import Mixer
from .criterion import pack

__all__ = ["MixingLoader"]


class MixingLoader:
    """Yields mixed images and soft targets of a loader's batches; otherwise it is that loader.

    Args:
        loader: Yields images (B, C, H, W) and labels (B,), normalised.
        mixer: Mixes them.
        device: Where batches go first.
        dtype: What images become first; None leaves them.
        autocast: The script's, for the saliency pass.
        pairs: Whether the clean images follow their mixes in one batch of 2 B, with the targets of `pack`.
    """

    def __init__(
        self,
        loader: Any,
        mixer: Mixer,
        device: torch.device,
        dtype: torch.dtype | None,
        autocast: Callable[[], AbstractContextManager[Any]],
        pairs: bool,
    ) -> None:
        self.loader = loader
        self.mixer = mixer
        self.device = device
        self.dtype = dtype
        self.autocast = autocast
        self.pairs = pairs

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for images, labels in self.loader:
            images, labels = images.to(self.device, self.dtype), labels.to(self.device)
            with self.autocast():
                batch = self.mixer.mix(images, labels)
            if self.pairs:  # also where nothing was mixed: scripts weight the losses they log by the images of a batch
                yield torch.cat([batch.images, batch.raw]), pack(batch)
            else:
                yield batch.images, batch.targets

    def __len__(self) -> int:
        return len(self.loader)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)
