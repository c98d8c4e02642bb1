"""Controls: MergeMix with one step changed, to measure the gain of its map, its choice of patches and its pairs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from timm_mergemix.mix.mergemix import MergeMixBlend
from timm_mergemix.mix.mixer import Mixer
from timm_mergemix.mixers.mergemix import MergeMix
from timm_mergemix.saliency.choose import Saliency
from timm_mergemix.training.mixers import Mix

__all__ = ["corner_ties", "inverted", "pair_by_saliency", "random_patches", "sampled"]


def random_patches(encoder: nn.Module, num_classes: int, **options: Any) -> Mixer:
    """MergeMix with randomly chosen patches, which leaves only mixing by patches.

    Args:
        encoder: The model that determines the grid of patches.
        num_classes: Number of classes.
        **options: Other arguments of `MergeMix`.
    """

    def constant(saliency: Saliency, images: Tensor) -> Tensor:
        # A constant map, so that the noise that breaks ties decides.
        return torch.ones(len(images), *saliency.map_size(*images.shape[-2:]), device=images.device)

    return _by(constant, encoder, num_classes, options)


def inverted(encoder: nn.Module, num_classes: int, **options: Any) -> Mixer:
    """MergeMix that keeps the least salient patches; it takes the arguments of `random_patches`."""

    def least(saliency: Saliency, images: Tensor) -> Tensor:
        found = saliency(images)
        return found.amax(dim=(1, 2), keepdim=True) - found

    return _by(least, encoder, num_classes, options)


def sampled(encoder: nn.Module, num_classes: int, temperature: float = 1.0, **options: Any) -> Mixer:
    """MergeMix that draws the patches it keeps in proportion to their saliency, instead of keeping the most salient.

    Args:
        encoder: The model whose attention is read.
        num_classes: Number of classes.
        temperature: 0 keeps the most salient patches; higher values add more randomness.
        **options: Other arguments of `MergeMix`.
    """

    def draw(saliency: Saliency, images: Tensor) -> Tensor:
        # The largest log-shares with Gumbel noise are a sample without replacement.
        found = saliency(images).clamp_min(1e-9).log()
        noise = -torch.empty_like(found).exponential_().log()
        return (found + temperature * noise).flatten(1).softmax(dim=1).view_as(found)

    return _by(draw, encoder, num_classes, options)


def corner_ties(encoder: nn.Module, num_classes: int, **options: Any) -> Mixer:
    """MergeMix that takes the patches of a merged token in reading order instead of at random."""

    def in_order(saliency: Saliency, images: Tensor) -> Tensor:
        found = saliency(images)
        return found * torch.linspace(1 + 1e-4, 1, found[0].numel(), device=images.device).view_as(found[0])

    return _by(in_order, encoder, num_classes, options)


def pair_by_saliency(encoder: nn.Module, num_classes: int, **options: Any) -> Mix:
    """MergeMix that pairs images that are salient in different places, instead of pairing in batch order."""
    mixer = MergeMix(encoder, num_classes, **options)

    def mix(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        saliency = mixer.saliency(images)
        order = complementary_order(saliency)
        batch = mixer.mix(images[order], labels[order], saliency[order])
        return batch.images, batch.targets

    return mix


def complementary_order(saliency: Tensor) -> Tensor:
    """Orders images so that the first and the last, and so on inwards, are salient in different places.

    Args:
        saliency: (B, h, w). Each remaining image greedily takes the one whose map overlaps least with its own.
    """
    maps = saliency.flatten(1)
    overlap = torch.minimum(maps[:, None], maps[None]).sum(dim=2).cpu()
    left, front, back = list(range(len(maps))), [], []
    while len(left) > 1:
        own = left.pop(0)
        partner = min(left, key=lambda other: float(overlap[own, other]))
        left.remove(partner)
        front.append(own)
        back.append(partner)
    return torch.tensor([*front, *left, *reversed(back)], device=saliency.device)


def _by(
    find: Callable[[Saliency, Tensor], Tensor], encoder: nn.Module, num_classes: int, options: dict[str, Any]
) -> Mixer:
    """MergeMix with another saliency map."""
    mixer = MergeMix(encoder, num_classes, **options)
    blend = next(blend for blend, _ in mixer.blends if isinstance(blend, MergeMixBlend))
    blend.saliency = partial(find, mixer.saliency)
    return mixer
