"""The published step: each image is trained on twice, mixed in two ways."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from timm_mergemix.errors import check_choice
from timm_mergemix.merge.find.search import find_backbone
from timm_mergemix.mix.config import find_recipe
from timm_mergemix.mixers.mergemix import MergeMix
from timm_mergemix.training.mixers import Mix, timm_mixup

__all__ = ["FIRST", "two_batches"]

FIRST = ("paper", "mixup", "cutmix")
SHARED = ("prob", "mode", "label_smoothing")
MIXUP, CUTMIX = {"mixup_alpha": 0.8}, {"mixup_alpha": 0.0, "cutmix_alpha": 1.0}
# The published layer is the 9th of 12 blocks, or the 18th of 24.
READ = 0.75


def two_batches(encoder: nn.Module, num_classes: int, first: str = "paper", **options: Any) -> Mix:
    """Two mixes of a batch as one batch of twice the size: one by ``first``, one by Mixup.

    Jin et al., "MergeMix", ICLR 2026 (arXiv 2510.23479), train on both and add the losses. The mean over both batches
    is half of that sum. AdamW takes the same step by either; the limit of the gradient's norm is that of the mean, as
    for all other methods.

    Args:
        encoder: The model in training.
        num_classes: Number of classes.
        first: ``"paper"``, MergeMix as published, with the attention of the block at three quarters of the depth; or as
            controls ``"mixup"`` or ``"cutmix"``.
        **options: Those that timm's Mixup takes too are for both mixes, the others for the first.
    """
    check_choice("first", first, FIRST)
    shared = {name: value for name, value in options.items() if name in SHARED}
    if first == "paper":
        layer = round(READ * len(find_backbone(encoder).blocks)) - 1
        own: Mix = MergeMix(encoder, num_classes, **{"layer": layer, **find_recipe("paper"), **options})
    else:
        own = timm_mixup(num_classes=num_classes, **(MIXUP if first == "mixup" else CUTMIX), **options)
    other = timm_mixup(num_classes=num_classes, **MIXUP, **shared)

    def mix(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        # timm's Mixup wants an even batch, and changes the images that it is given.
        mixes = [each(images.clone(), labels) for each in (own, other)]
        return torch.cat([mixed for mixed, _ in mixes]), torch.cat([targets for _, targets in mixes])

    return mix
