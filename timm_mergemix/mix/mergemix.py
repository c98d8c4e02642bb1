"""The MergeMix blend: saliency decides which patches of two images make the mix."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import check_choice, check_number
from .blends import Blend, Pairs
from .draw import Draw
from .images import mix_patches
from .mask import count_patches, expand_mask, top_mask
from .ratio import attention_ratio, gaussian_ratio, patch_ratio

__all__ = ["RATIO_MODES", "MergeMixBlend"]

RATIO_MODES = ("area", "attention", "gaussian")


class MergeMixBlend:
    """Keeps the most salient patches of each image and takes the rest from its partner.

    Jin et al., "MergeMix: A Unified Augmentation Paradigm for Visual and Multi-Modal Understanding", ICLR 2026
    (arXiv 2510.23479).

    Args:
        saliency: Images (n, C, H, W) -> (n, h, w).
        alpha: lambda ~ Beta(alpha, alpha) of the patches are kept.
        ratio_mode: See `MergeMix`.
    """

    name = "mergemix"

    def __init__(self, saliency: Callable[[Tensor], Tensor], alpha: float = 1.0, ratio_mode: str = "area") -> None:
        check_number("mergemix_alpha", alpha, 0)
        check_choice("ratio_mode", ratio_mode, RATIO_MODES)
        self.saliency = saliency
        self.alpha = alpha
        self.ratio_mode = ratio_mode

    def __call__(self, pairs: Pairs, draw: Draw) -> Blend:
        """See `BlendFunction`."""
        own, partner = self._saliency(pairs)
        device, length = own.device, own[0].numel()
        count = count_patches(torch.from_numpy(draw.beta(self.alpha)), length).to(device)
        patches = top_mask(own, count, draw.noise(length).to(device))
        height, width = pairs.images.shape[-2:]
        measured = None
        if partner is not None:
            ratio = attention_ratio(own, partner, patches)
        elif self.ratio_mode == "gaussian":
            normal = torch.from_numpy(draw.normal()).float().to(device)
            ratio, measured = gaussian_ratio(count / length, normal), patch_ratio(patches, height, width)
        else:
            ratio = patch_ratio(patches, height, width)
        mixed = mix_patches(pairs.images, pairs.own_index, pairs.partner_index, patches)
        return Blend(mixed, ratio, expand_mask(patches, height, width), own, measured)

    def _saliency(self, pairs: Pairs) -> tuple[Tensor, Tensor | None]:
        if self.ratio_mode != "attention" and pairs.saliency is None:
            return self.saliency(pairs.own), None
        # Of all images: partners may be rows that are not mixed this way.
        saliency = self.saliency(pairs.images) if pairs.saliency is None else pairs.saliency
        own = saliency if pairs.rows is None else saliency[pairs.rows]
        return own, saliency[pairs.partner_index] if self.ratio_mode == "attention" else None
