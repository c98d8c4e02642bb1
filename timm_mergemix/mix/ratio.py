"""The mixing ratio: how much of a mix is the original image. Its partner has the rest."""

from __future__ import annotations

import torch
from torch import Tensor

from ..checks import check_finite, check_share, check_weights
from ..errors import check_tensor

__all__ = ["area_ratio", "attention_ratio", "gaussian_ratio", "patch_ratio"]


def area_ratio(mask: Tensor) -> Tensor:
    """The share of pixels that come from the original image.

    Args:
        mask: (B, 1, H, W) bool.

    Returns:
        (B,) float32 in [0, 1].
    """
    check_tensor("mask", mask, ("B", 1, "H", "W"), "bool")
    pixels = mask.flatten(1)
    return pixels.sum(dim=1).float() / pixels.shape[1]


def patch_ratio(patches: Tensor, height: int, width: int) -> Tensor:
    """`area_ratio` of the pixel mask that a patch mask expands to, to the bit, without a look at each pixel.

    Args:
        patches: (B, h, w) bool.
        height: Image height in pixels.
        width: Image width in pixels.

    Returns:
        (B,) float32 in [0, 1].
    """
    check_tensor("patches", patches, "Bhw", "bool")
    rows, columns = patches.shape[1:]
    if height % rows == 0 and width % columns == 0:
        pixels = patches.flatten(1).sum(dim=1) * (height // rows * (width // columns))
    else:
        of_row, of_column = (_pixels_in(length, cells, patches) for length, cells in ((height, rows), (width, columns)))
        pixels = (patches * (of_row.unsqueeze(1) * of_column)).flatten(1).sum(dim=1)
    return pixels.float() / (height * width)


def _pixels_in(length: int, cells: int, like: Tensor) -> Tensor:
    """How many of ``length`` pixels lie in each of the cells that they are shared out among, as `expand_mask` does."""
    edges = (torch.arange(cells + 1, device=like.device) * length + cells - 1) // cells
    return edges.diff()


def attention_ratio(saliency: Tensor, partner_saliency: Tensor, mask: Tensor) -> Tensor:
    """The original's kept saliency over the kept saliency of both images.

    Args:
        saliency: (B, h, w) non-negative, of the original images.
        partner_saliency: (B, h, w) non-negative, of their partners.
        mask: (B, h, w) bool, True where the original's patch is kept.

    Returns:
        (B,) float32 in [0, 1]; the share of patches where neither keeps any saliency.

    Raises:
        MergeMixError: If the shapes or dtypes do not fit, or, checked on the CPU, saliency is negative or not
            finite.
    """
    check_tensor("saliency", saliency, "Bhw", "float")
    check_tensor("partner_saliency", partner_saliency, saliency.shape, "float", like=saliency)
    check_tensor("mask", mask, saliency.shape, "bool", like=saliency)
    check_weights("saliency", saliency)
    check_weights("partner_saliency", partner_saliency)
    kept = (saliency * mask).flatten(1).sum(dim=1)
    partner_kept = (partner_saliency * ~mask).flatten(1).sum(dim=1)
    total = kept + partner_kept
    share = mask.flatten(1).float().mean(dim=1)
    return torch.where(total > 0, kept / torch.where(total > 0, total, 1), share)


def gaussian_ratio(area: Tensor, normal: Tensor) -> Tensor:
    """The published re-scaling: normal draws whose spread is the kept share, normalised over the batch.

    It is noise, independent of the mask where all images share a lam: for comparison only. The mean of the published
    draw is the same for all images of a batch, so the normalisation takes it out.

    Args:
        area: (B,) share of kept patches, also the result where the batch leaves nothing to normalise by.
        normal: (B,) draws from the standard normal distribution.

    Returns:
        (B,) float32 in [0, 1]; 0 and 1 where no or all patches are kept.

    Raises:
        MergeMixError: If the shapes or dtypes do not fit, or, checked on the CPU, an area is out of [0, 1] or a draw
            is not finite.
    """
    check_tensor("area", area, "B", "float")
    check_tensor("normal", normal, area.shape, "float", like=area)
    check_share("area", area)
    check_finite("normal", normal)
    draws = area * normal
    low, high = draws.min(), draws.max()
    spread = high - low
    scaled = torch.where(spread > 0, (draws - low) / torch.where(spread > 0, spread, 1), area)
    return torch.where((area == 0) | (area == 1), area, scaled)
