"""Pixels of two images -> pixels of their mix."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["blend_images", "mix_images", "paste_resized"]


def mix_images(images: Tensor, partners: Tensor, mask: Tensor) -> Tensor:
    """Takes each pixel whole from one of two images.

    Args:
        images: (B, C, H, W), any dtype.
        partners: (B, C, H, W), the same dtype.
        mask: (B, 1, H, W) bool, True where the pixel of ``images`` is taken.

    Returns:
        (B, C, H, W), a new tensor.
    """
    return torch.where(mask, images, partners)


def blend_images(images: Tensor, partners: Tensor, ratio: Tensor) -> Tensor:
    """Mixup: ``ratio * images + (1 - ratio) * partners``, in float32 at least; uint8 is rounded.

    Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018 (arXiv 1710.09412).

    Args:
        images: (B, C, H, W), float or uint8.
        partners: (B, C, H, W), the same dtype.
        ratio: (B,) in [0, 1].

    Returns:
        (B, C, H, W) in the dtype of ``images``, a new tensor.
    """
    work = torch.promote_types(images.dtype, torch.float32)
    weight = ratio.to(work).view(-1, 1, 1, 1)
    return _as(torch.lerp(partners.to(work), images.to(work), weight), images.dtype)


def paste_resized(images: Tensor, partners: Tensor, boxes: Tensor) -> Tensor:
    """ResizeMix: pastes the whole partner, resized, into a box.

    Qin et al., "ResizeMix: Mixing Data with Preserved Object Information and True Labels", 2020 (arXiv 2012.11101).

    Args:
        images: (B, C, H, W), float or uint8.
        partners: (B, C, H, W), the same dtype.
        boxes: (B, 4) integers on the CPU: top, bottom, left, right in pixels.

    Returns:
        (B, C, H, W) in the dtype of ``images``, a new tensor.
    """
    out = images.clone()
    # Rows that share a box are resized together: in batch mode that is all of them.
    unique, inverse = boxes.unique(dim=0, return_inverse=True)
    for number, (top, bottom, left, right) in enumerate(unique.tolist()):
        if bottom == top or right == left:
            continue
        rows = (inverse == number).nonzero().squeeze(1).to(images.device)
        small = F.interpolate(
            partners[rows].float(), size=(bottom - top, right - left), mode="bilinear", antialias=True
        )
        out[rows, :, top:bottom, left:right] = _as(small, images.dtype)
    return out


def _as(images: Tensor, dtype: torch.dtype) -> Tensor:
    if dtype == torch.uint8:
        images = images.round().clamp(0, 255)
    return images.to(dtype)
