"""Corruptions of images, to test the robustness of trained models."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as TF

from timm_mergemix.mix.mask import expand_mask, top_mask
from timm_mergemix.saliency.choose import saliency_map

__all__ = ["CORRUPTIONS", "hide_patches"]

HIDDEN = 0.3


def _blur(pixels: Tensor) -> Tensor:
    sigma = pixels.shape[-1] / 24
    return TF.gaussian_blur(pixels, [2 * round(2 * sigma) + 1] * 2, [sigma] * 2)


# Functions of pixels (B, C, H, W) from 0 to 1; the noise follows torch's seed.
CORRUPTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "noise": lambda pixels: TF.gaussian_noise(pixels, sigma=0.15),
    "blur": _blur,
    "contrast": lambda pixels: TF.adjust_contrast(pixels, 0.3),
}


def hide_patches(model: nn.Module, images: Tensor, salient: bool) -> Tensor:
    """Returns normalised images with three tenths of their patches set to 0, which is the mean.

    Args:
        model: The model that determines the grid and the saliency of patches.
        images: (B, C, H, W).
        salient: Whether to hide the most salient patches; otherwise random ones, drawn with torch's generator.
    """
    saliency = saliency_map(model, images)
    count = torch.full((len(images),), round(HIDDEN * saliency[0].numel()), device=images.device)
    noise = torch.rand(len(images), saliency[0].numel()).to(images.device)
    hidden = top_mask(saliency if salient else torch.ones_like(saliency), count, noise)
    return images.masked_fill(expand_mask(hidden, *images.shape[-2:]), 0.0)
