"""Mixing by what is known of the objects: the true mask in place of a map, the true share in place of a ratio."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from timm_mergemix.errors import check_choice
from timm_mergemix.mix.batch import MixedBatch
from timm_mergemix.mix.mask import expand_mask
from timm_mergemix.mix.mixer import Mixer
from timm_mergemix.mixers.mergemix import MergeMix
from timm_mergemix.mixers.mixup import Mixup
from timm_mergemix.training.mixers import Mix

__all__ = ["SELECTED_BY", "TARGETS", "Masks", "cutmix_seen", "mix_by_truth", "reweighed"]

# The images of a batch -> (B, H, W) from 0 to 1, where their objects are.
Masks = Callable[[Tensor], Tensor]

# True mask on the grid of patches -> the map by which patches are kept; None for that of the model.
SELECTED_BY: dict[str, Callable[[Tensor], Tensor] | None] = {
    "truth": lambda cells: cells / cells.sum(dim=(1, 2), keepdim=True).clamp_min(1e-9),  # each object counts as one
    "inverted": lambda cells: 1 - cells,
    "random": torch.ones_like,
    "attention": None,
}
TARGETS = ("area", "attention", "seen")


def mix_by_truth(
    encoder: nn.Module, num_classes: int, masks: Masks, by: str = "truth", target: str = "area", **options: Any
) -> Mix:
    """MergeMix with patches chosen by one thing, and the ratio measured by another.

    Args:
        encoder: Whose attention is read, and whose grid of patches is used.
        num_classes: Number of classes.
        masks: Where the objects of a batch are.
        by: Patches are kept by a map of `SELECTED_BY`.
        target: The ratio is the share of pixels (``"area"``), of the model's attention that is seen (``"attention"``),
            or of the objects that is seen (``"seen"``). By the true mask, attention and objects are the same.
        **options: As for `MergeMix`.
    """
    check_choice("by", by, tuple(SELECTED_BY))
    check_choice("target", target, TARGETS)
    mixer = MergeMix(encoder, num_classes, **options)
    find = SELECTED_BY[by]

    def mix(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        objects, (height, width) = masks(images), images.shape[-2:]
        attention = mixer.saliency(images) if find is None or target == "attention" else None
        cells = F.adaptive_avg_pool2d(objects, mixer.saliency.map_size(height, width))
        batch = mixer.mix(images, labels, attention if find is None else find(cells))
        if target == "attention" and attention is not None:
            batch = reweighed(batch, expand_mask(attention, height, width)[:, 0])
        elif target == "seen":
            batch = reweighed(batch, objects)
        return batch.images, batch.targets

    return mix


def cutmix_seen(encoder: nn.Module, num_classes: int, masks: Masks, **options: Any) -> Mix:
    """CutMix whose ratio is the share of the objects that is seen. Arguments are those of `mix_by_truth`."""
    mixer: Mixer = Mixup(num_classes=num_classes, mixup_alpha=0.0, cutmix_alpha=1.0, **options)

    def mix(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        batch = reweighed(mixer.mix(images, labels), masks(images))
        return batch.images, batch.targets

    return mix


def reweighed(batch: MixedBatch, weights: Tensor) -> MixedBatch:
    """A mixed batch whose ratio is the part of the original's weights that is seen, over the parts of both images.

    So each object counts as one, however large it is. A row that was not mixed by a mask, or that shows nothing of
    either, keeps its ratio.

    Args:
        batch: A mixed batch.
        weights: (B, H, W) non-negative, of the images before they were mixed.
    """
    if batch.mask is None:
        return batch
    parts = weights / weights.sum(dim=(1, 2), keepdim=True).clamp_min(1e-9)
    kept = batch.mask[:, 0]
    own, partner = (parts * kept).sum(dim=(1, 2)), (parts[batch.index] * ~kept).sum(dim=(1, 2))
    masked = torch.tensor([kind not in ("none", "mixup") for kind in batch.kind], device=own.device)
    total = own + partner
    ratio = torch.where(masked & (total > 0), own / torch.where(total > 0, total, 1), batch.ratio)
    return replace(batch, ratio=ratio, measured=None)
