"""Dense labels, a class or shares of classes for each pixel, mixed as their images were."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..checks import check_range, check_share, reads_values
from ..errors import Words, check_int, check_tensor, wrong
from .blends import Blend, Pairs
from .images import blend_images, paste_boxes

__all__ = ["check_masks", "class_map", "mix_all_masks", "mix_masks", "soft_masks"]

CLASSES = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
SOFTEN = "soft ones, as functional.soft_masks makes them"


def check_masks(masks: Tensor, images: Tensor, blends_pixels: bool, validate: bool | None = None) -> None:
    """Raises unless ``masks`` are dense labels of images (B, C, H, W), which can be mixed as these are.

    Args:
        masks: (B, H, W) or (B, channels, H, W) integers or bool, or shares of classes (B, num_classes, H, W).
        images: The images.
        blends_pixels: Whether pixels may be blended; a blend of class numbers would mean nothing.
        validate: Whether shares are looked at on an accelerator too.
    """
    batch, height, width = len(images), *images.shape[2:]
    if not isinstance(masks, Tensor) or masks.ndim not in (3, 4):
        wanted = f"a tensor of shape ({batch}, {height}, {width}) or ({batch}, num_classes, {height}, {width})"
        raise wrong("masks", masks, wanted)
    soft = masks.is_floating_point()
    channels = ("num_classes",) if masks.ndim == 4 or soft else ()
    check_tensor("masks", masks, (batch, *channels, height, width), "float" if soft else "")
    if not soft and masks.dtype not in CLASSES:
        wanted = "class numbers as bool, uint8 or signed integers, or class shares as floats"
        raise wrong("masks", masks, wanted)
    if masks.device != images.device:
        raise wrong("masks", Words(f"masks on {masks.device}"), f"masks on {images.device}, like the images")
    if soft:
        check_share("masks", masks, validate)
    elif blends_pixels:
        raise wrong("masks", masks, f"{SOFTEN}, since the mixer may blend pixels")


def mix_masks(own: Tensor, partner: Tensor, blend: Blend) -> Tensor:
    """Dense labels of mixed rows: by the same pixel mask, pasted in the same boxes, or blended by the same ratio.

    Args:
        own: (n, H, W) or (n, channels, H, W), of the original images.
        partner: The same of their partners.
        blend: What became of the images.
    """
    if blend.paste is not None and blend.paste.resized:
        return paste_boxes(own, partner, blend.paste.boxes, _nearest, blend.paste.order)
    if blend.mask is not None:
        return torch.where(blend.mask if own.ndim == 4 else blend.mask.squeeze(1), own, partner)
    return blend_images(own, partner, blend.ratio)


def mix_all_masks(masks: Tensor | None, parts: Sequence[tuple[Pairs, Blend]]) -> Tensor | None:
    """Dense labels of a whole batch, of which some rows were mixed.

    Raises:
        MergeMixError: If pixels were blended, and the labels are class numbers.
    """
    if masks is None:
        return None
    masks = masks.as_subclass(Tensor)
    out = masks.clone()
    for pairs, blend in parts:
        if blend.mask is None and not masks.is_floating_point():
            raise wrong("masks", masks, f"{SOFTEN}, since the way of mixing has no pixel mask")
        out[pairs.own_index] = mix_masks(masks[pairs.own_index], masks[pairs.partner_index], blend)
    return out


def soft_masks(masks: Tensor, num_classes: int, ignore_index: int | None = 255) -> Tensor:
    """Integer maps as shares of classes, which can be blended.

    Args:
        masks: (B, H, W) or (B, 1, H, W) integers from 0 to num_classes - 1, or ``ignore_index``; or bool.
        num_classes: Number of classes.
        ignore_index: Class of pixels that do not count; they get a share of 0 for each class. None: there are none.

    Returns:
        (B, num_classes, H, W) float32.

    Raises:
        MergeMixError: If the shape or dtype does not fit, or, checked on the CPU, there is another class.
    """
    check_int("num_classes", num_classes, 1)
    if ignore_index is not None:
        check_int("ignore_index", ignore_index, -(2**31))
    classes = class_map("masks", masks)
    ignored = torch.zeros_like(classes, dtype=torch.bool) if ignore_index is None else classes == ignore_index
    if reads_values(classes):
        check_range("masks", classes.masked_fill(ignored, 0), 0, num_classes - 1)
    numbers = torch.arange(num_classes, device=classes.device).view(-1, 1, 1)
    return (classes.masked_fill(ignored, -1).unsqueeze(1) == numbers).float()


def class_map(argument: str, masks: Tensor) -> Tensor:
    """Class numbers (B, H, W) in int64, which cannot wrap around where they are compared.

    Raises:
        MergeMixError: Unless they are (B, H, W) or (B, 1, H, W), integers or bool.
    """
    if not isinstance(masks, Tensor) or masks.is_floating_point() or masks.is_complex():
        raise wrong(argument, masks, "an integer tensor of shape (B, H, W)")
    check_tensor(argument, masks, ("B", 1, "H", "W") if masks.ndim == 4 else "BHW")
    return (masks.squeeze(1) if masks.ndim == 4 else masks).long()


def _nearest(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (n, ..., H, W) of any dtype at another size, each pixel from the one in which its centre lies."""
    rows, columns = (
        (2 * torch.arange(new, device=masks.device) + 1) * old // (2 * new)
        for new, old in zip(size, masks.shape[-2:], strict=True)
    )
    return masks[..., rows[:, None], columns]
