"""The record of one mix."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..errors import check_tensor
from .targets import mix_targets

__all__ = ["MixedBatch"]


@dataclass(frozen=True, eq=False)
class MixedBatch:
    """A mixed batch with all that made it. Image ``i`` is mixed with image ``index[i]``.

    Attributes:
        images: (B, C, H, W), the mix, in the dtype of ``raw``.
        labels: (B,) integers or (B, num_classes) rows, as they came.
        ratio: (B,) float32, how much of the mix is image ``i``; 1 where it was not mixed.
        index: (B,) int64, the partner of each image.
        mask: (B, 1, H, W) bool, True where a pixel is image ``i``'s; True throughout for rows that were not mixed by a
            mask; None where no row was.
        saliency: (B, h, w) float32, of the original images, by which masks were chosen; 0 for rows not mixed by
            MergeMix; None without any.
        raw: (B, C, H, W), the images as they came.
        kind: For each row the name of the blend, ``"none"`` where it was not mixed.
        num_classes: Number of classes, as the mixer knows it; None where it has only seen rows.
        smoothing: Label smoothing of the targets.
        multi_label: Whether the classes are independent.
        measured: (B,) float32, the ratio as measured on the mix, where ``ratio`` is not: with the published Gaussian
            re-scaling, and with CutMix's drawn lambda (``correct_lam=False``). None where ``ratio`` is measured itself.
    """

    images: Tensor
    labels: Tensor
    ratio: Tensor
    index: Tensor
    mask: Tensor | None
    saliency: Tensor | None
    raw: Tensor
    kind: tuple[str, ...]
    num_classes: int | None = None
    smoothing: float = 0.0
    multi_label: bool = False
    measured: Tensor | None = None

    @cached_property
    def targets(self) -> Tensor:
        """(B, num_classes) float soft targets: ``ratio * y_i + (1 - ratio) * y_index[i]``, smoothed."""
        return mix_targets(self.labels, self.index, self.ratio, self.num_classes, self.smoothing, self.multi_label)

    @property
    def mass(self) -> Tensor:
        """(B,) float32, target mass of each image's own class in its mix, before smoothing.

        It is the measured ratio, and 1 where the partner has the same class or the image was not mixed.

        Raises:
            MergeMixError: If the labels are rows, which name no class of their own.
        """
        check_tensor("labels", self.labels, (len(self),), "integer")
        ratio = self.ratio if self.measured is None else self.measured
        return ratio.where(self.labels != self.labels[self.index], 1.0)

    def to(self, device: torch.device | str) -> MixedBatch:
        """The same batch on another device."""
        moved: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        moved |= {name: value.to(device) for name, value in moved.items() if isinstance(value, Tensor)}
        return MixedBatch(**moved)

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        kinds = ", ".join(f"{self.kind.count(kind)} {kind}" for kind in dict.fromkeys(self.kind))
        return f"MixedBatch(images={tuple(self.images.shape)}, {kinds}, mean ratio={self.ratio.mean().item():.3f})"
