"""The MergeMix blend: saliency decides which patches of two images make the mix."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .blends import Blend, Pairs
from .config import MixConfig
from .draw import Draw
from .images import mix_patches
from .mask import count_patches, expand_mask, top_mask
from .ratio import attention_ratio, gaussian_ratio, patch_ratio

__all__ = ["MergeMixBlend"]


class MergeMixBlend:
    """Keeps the patches of each image that are most salient, and takes the rest from its partner.

    Jin et al., "MergeMix: A Unified Augmentation Paradigm for Visual and Multi-Modal Understanding", ICLR 2026
    (arXiv 2510.23479).

    Args:
        saliency: Images (n, C, H, W) -> (n, h, w).
        config: How many patches are kept, which ones, and how the ratio is measured; None for the defaults.
    """

    name = "mergemix"

    def __init__(self, saliency: Callable[[Tensor], Tensor], config: MixConfig | None = None) -> None:
        self.saliency = saliency
        self.config = MixConfig() if config is None else config

    def __call__(self, pairs: Pairs, draw: Draw) -> Blend:
        """See `BlendFunction`."""
        own, partner = self._saliency(pairs)
        device, length = own.device, own[0].numel()
        count = count_patches(torch.from_numpy(draw.beta(self.config.mergemix_alpha)), length).to(device)
        # By what a patch shows more than the partner's in its place, the most of both is seen.
        value = own - partner if self.config.select == "both" else own
        patches = top_mask(value, count, draw.noise(length).to(device))
        height, width = pairs.images.shape[-2:]
        measured = None
        if self.config.ratio_mode == "attention":
            ratio = attention_ratio(own, partner, patches)
        elif self.config.ratio_mode == "gaussian":
            normal = torch.from_numpy(draw.normal()).float().to(device)
            ratio, measured = gaussian_ratio(count / length, normal), patch_ratio(patches, height, width)
        else:
            ratio = patch_ratio(patches, height, width)
        mixed = mix_patches(pairs.images, pairs.own_index, pairs.partner_index, patches)
        return Blend(mixed, ratio, expand_mask(patches, height, width), own, measured)

    def _saliency(self, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Of the original images, and of their partners; the second is empty where nothing asks for it."""
        both = self.config.ratio_mode == "attention" or self.config.select == "both"
        if not both and pairs.saliency is None:
            own = self.saliency(pairs.own)
            return own, own[:0]
        # Of all images: partners may be rows that are not mixed this way.
        saliency = self.saliency(pairs.images) if pairs.saliency is None else pairs.saliency
        own = saliency if pairs.rows is None else saliency[pairs.rows]
        return own, saliency[pairs.partner_index]
