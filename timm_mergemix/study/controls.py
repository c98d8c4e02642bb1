"""Controls of MergeMix: the same mix, from a map that knows nothing, or knows the opposite."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..mergemix import MergeMix
from ..mix.mergemix import MergeMixBlend
from ..mix.mixer import Mixer

__all__ = ["inverted", "random_patches"]


def random_patches(encoder: nn.Module, num_classes: int, **options: Any) -> Mixer:
    """MergeMix with patches chosen at random: what is left is mixing by patches.

    Args:
        encoder: Says the grid of patches.
        num_classes: Number of classes.
        **options: As for `MergeMix`.
    """
    mixer = MergeMix(encoder, num_classes, **options)
    saliency = mixer.saliency

    def constant(images: Tensor) -> Tensor:
        size = saliency.family.input_size(saliency.encoder, *images.shape[-2:])
        # Equal everywhere: the noise that breaks ties chooses.
        return torch.ones(len(images), *saliency.family.grid_size(saliency.encoder, *size), device=images.device)

    _own_blend(mixer).saliency = constant
    return mixer


def inverted(encoder: nn.Module, num_classes: int, **options: Any) -> Mixer:
    """MergeMix that keeps the least salient patches. Arguments are those of `random_patches`."""
    mixer = MergeMix(encoder, num_classes, **options)

    def least(images: Tensor) -> Tensor:
        saliency = mixer.saliency(images)
        return saliency.amax(dim=(1, 2), keepdim=True) - saliency

    _own_blend(mixer).saliency = least
    return mixer


def _own_blend(mixer: Mixer) -> MergeMixBlend:
    return next(blend for blend, _ in mixer.blends if isinstance(blend, MergeMixBlend))
