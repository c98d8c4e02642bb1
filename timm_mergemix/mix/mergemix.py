"""The MergeMix blend: saliency decides which patches of two images make the mix."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .blends import Blend, Pairs, PreparedBlend
from .config import MixConfig
from .draw import Draw
from .images import mix_patches
from .mask import count_patches, expand_mask, top_mask
from .ratio import attention_ratio, gaussian_ratio, patch_ratio
from .transfer import to_device

__all__ = ["MergeMixBlend"]


class MergeMixBlend:
    """Keeps the patches of each image that are most salient, and takes the rest from its partner.

    Jin et al., "MergeMix: A Unified Augmentation Paradigm for Visual and Multi-Modal Understanding", ICLR 2026
    (arXiv 2510.23479).

    Args:
        saliency: Images (n, C, H, W) -> (n, h, w). If it has a method ``map_size(height, width) -> (h, w)``, all
            numbers are drawn, and on their way to the device, before it is called.
        config: How many patches are kept, which ones, and how the ratio is measured; None for the defaults.
    """

    name = "mergemix"

    def __init__(self, saliency: Callable[[Tensor], Tensor], config: MixConfig | None = None) -> None:
        self.saliency = saliency
        self.config = MixConfig() if config is None else config

    def __call__(self, pairs: Pairs, draw: Draw) -> Blend:
        """Mixes the rows of ``pairs``, see `BlendFunction`."""
        prepared = self.prepare_blend(pairs, draw)
        if prepared is not None:
            return prepared.finish(pairs, *to_device(prepared.drawn, pairs.images.device))
        maps = self._saliency(pairs)  # only they tell how many patches there are
        drawn = self._draw(draw, maps[0][0].numel())
        return self._mix(pairs, maps, to_device(drawn, pairs.images.device))

    def prepare_blend(self, pairs: Pairs, draw: Draw) -> PreparedBlend | None:
        """Draws for the rows of ``pairs``, see `TwoStepBlend`; None if only a saliency pass tells the grid."""
        grid = self._grid(pairs)
        if grid is None:
            return None
        return PreparedBlend(tuple(self._draw(draw, grid[0] * grid[1])), self._finish)

    def _grid(self, pairs: Pairs) -> tuple[int, int] | None:
        if pairs.saliency is not None:
            rows, columns = pairs.saliency.shape[1:]
            return rows, columns
        grid = getattr(self.saliency, "map_size", None)
        return None if grid is None else grid(*pairs.images.shape[-2:])

    def _draw(self, draw: Draw, length: int) -> list[Tensor]:
        """Counts of patches, the order of ties, and normal numbers where the ratio is made of them; on the CPU."""
        count = count_patches(torch.from_numpy(draw.beta(self.config.mergemix_alpha)), length)
        drawn = [count, draw.noise(length)]
        if self.config.ratio_mode == "gaussian":
            drawn.append(torch.from_numpy(draw.normal()).float())
        return drawn

    def _finish(self, pairs: Pairs, *drawn: Tensor) -> Blend:
        return self._mix(pairs, self._saliency(pairs), drawn)

    def _mix(self, pairs: Pairs, maps: tuple[Tensor, Tensor], drawn: Sequence[Tensor]) -> Blend:
        (own, partner), (count, noise, *normal) = maps, drawn
        # By what a patch shows more than the partner's in its place, the most of both is seen.
        value = own - partner if self.config.select == "both" else own
        patches = top_mask(value, count, noise)
        height, width = pairs.images.shape[-2:]
        measured = None
        if self.config.ratio_mode == "attention":
            ratio = attention_ratio(own, partner, patches)
        elif self.config.ratio_mode == "gaussian":
            ratio, measured = gaussian_ratio(count / own[0].numel(), *normal), patch_ratio(patches, height, width)
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
