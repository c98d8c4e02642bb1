"""Pixels of two images -> pixels of their mix."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._C import _functorch as functorch
from torch.autograd.forward_ad import unpack_dual

from ..checks import check_layout, check_share, is_image_dtype
from ..errors import Words, check_tensor, wrong
from .mask import check_boxes, expand_mask
from .transfer import to_device

__all__ = ["blend_images", "box_order", "mix_images", "mix_patches", "paste_boxes", "paste_resized", "smaller"]

# Between numbers of these dtypes torch before 2.7 cannot choose; it can between their bits.
SAME_BITS = {
    torch.float8_e4m3fn: torch.uint8,
    torch.float8_e5m2: torch.uint8,
    torch.uint16: torch.int16,
    torch.uint32: torch.int32,
    torch.uint64: torch.int64,
}


def mix_images(images: Tensor, partners: Tensor, mask: Tensor, out: Tensor | None = None) -> Tensor:
    """Takes each pixel whole from one of two images.

    Args:
        images: (B, C, H, W), any dtype.
        partners: (B, C, H, W), the same dtype.
        mask: (B, 1, H, W) bool, True where the pixel of ``images`` is taken.
        out: Where to write, ``partners`` for example if it is of no more use; None for a new tensor. Not used where a
            gradient is recorded.

    Returns:
        (B, C, H, W), a new tensor or ``out``.

    Raises:
        MergeMixError: If the shapes or dtypes do not fit.
    """
    _check_pair(images, partners)
    check_tensor("mask", mask, (len(images), 1, *images.shape[2:]), "bool", like=images)
    writes = _check_out(out, images, partners)
    if images.dtype in SAME_BITS and not _records(images, partners):
        bits = SAME_BITS[images.dtype]
        chosen = torch.where(mask, images.view(bits), partners.view(bits)).view(images.dtype)
        return chosen if out is None else out.copy_(chosen)
    return torch.where(mask, images, partners, out=out) if writes else torch.where(mask, images, partners)


def mix_patches(images: Tensor, own: Tensor, partner: Tensor, patches: Tensor) -> Tensor:
    """Takes each patch whole from one of two images of a batch: `mix_images` with the mask of `expand_mask`.

    Args:
        images: (B, C, H, W), any dtype.
        own: (n,) int64, the images to mix.
        partner: (n,) int64, what each is mixed with.
        patches: (n, h, w) bool, True where the patch of ``own`` is taken.

    Returns:
        (n, C, H, W), a new tensor.

    Raises:
        MergeMixError: If the shapes or dtypes do not fit.
    """
    check_tensor("images", images, "BCHW")
    check_tensor("own", own, "n", "integer")
    check_tensor("partner", partner, own.shape, "integer")
    check_tensor("patches", patches, (len(own), "h", "w"), "bool")
    (_, channels, height, width), (rows, columns) = images.shape, patches.shape[1:]
    if height % rows or width % columns or images.device.type != "cpu" or not images.is_contiguous():
        out = images[partner]
        return mix_images(images[own], out, expand_mask(patches, height, width), out=out)
    # A line of a patch is one run in memory. To copy runs takes half the time of a choice for each pixel on the CPU.
    runs = channels * height * columns
    image = torch.where(patches, own[:, None, None], partner[:, None, None])
    run = torch.arange(runs, device=images.device).view(channels, rows, height // rows, columns)
    index = torch.add(run, image[:, None, :, None], alpha=runs).flatten()
    return images.view(-1, width // columns).index_select(0, index).view(len(own), *images.shape[1:])


def blend_images(images: Tensor, partners: Tensor, ratio: Tensor, out: Tensor | None = None) -> Tensor:
    """Mixup: ``ratio * images + (1 - ratio) * partners``, in float32 at least; uint8 is rounded.

    Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018 (arXiv 1710.09412).

    Args:
        images: (B, C, H, W), float or uint8.
        partners: (B, C, H, W), the same dtype.
        ratio: (B,) in [0, 1].
        out: As for `mix_images`; used for float32 and float64.

    Returns:
        (B, C, H, W) in the dtype of ``images``, a new tensor or ``out``.

    Raises:
        MergeMixError: If the shapes or dtypes do not fit, or, checked on the CPU, a ratio is out of [0, 1].
    """
    _check_pair(images, partners, blended=True)
    check_tensor("ratio", ratio, (len(images),), "float", like=images)
    check_share("ratio", ratio)
    writes = _check_out(out, images, partners, ratio)
    work = torch.promote_types(images.dtype, torch.float32)
    weight = ratio.to(work).view(-1, 1, 1, 1)
    if not writes or work != images.dtype:
        return _as(torch.lerp(partners.to(work), images.to(work), weight), images.dtype)
    return torch.lerp(partners, images, weight, out=out)


def paste_resized(images: Tensor, partners: Tensor, boxes: Tensor) -> Tensor:
    """ResizeMix: pastes the whole partner, resized, into a box.

    Qin et al., "ResizeMix: Mixing Data with Preserved Object Information and True Labels", 2020 (arXiv 2012.11101).

    Args:
        images: (B, C, H, W), float or uint8.
        partners: (B, C, H, W), the same dtype.
        boxes: (B, 4) integers on the CPU: top, bottom, left, right in pixels.

    Returns:
        (B, C, H, W) in the dtype of ``images``, a new tensor.

    Raises:
        MergeMixError: If the shapes or dtypes do not fit.
    """
    _check_pair(images, partners, blended=True)
    check_layout(images)
    check_tensor("boxes", boxes, (len(images), 4), "integer")
    if boxes.device.type != "cpu":
        raise wrong("boxes", Words(f"a tensor on {boxes.device}"), "a tensor on the CPU")
    check_boxes(boxes, *images.shape[-2:])
    return paste_boxes(images, partners, boxes.long(), smaller)


def paste_boxes(
    images: Tensor,
    partners: Tensor,
    boxes: Tensor,
    resize: Callable[[Tensor, tuple[int, int]], Tensor],
    order: Tensor | None = None,
) -> Tensor:
    """Pastes whole partners, resized, into boxes.

    Args:
        images: (B, ..., H, W).
        partners: The same of the partners.
        boxes: (B, 4) integers on the CPU: top, bottom, left, right in pixels.
        resize: Rows of partners and a size -> these rows at that size.
        order: The `box_order` of the boxes, on the device of the images; None finds it.

    Returns:
        Of the shape and dtype of ``images``, a new tensor.
    """
    out = images.clone()
    # Rows that share a box are resized together: in batch mode that is all of them.
    unique, counts = boxes.unique(dim=0, return_counts=True)
    if order is None and len(unique) > 1:
        order = to_device([box_order(boxes)], images.device)[0]
    start = 0
    for (top, bottom, left, right), count in zip(unique.tolist(), counts.tolist(), strict=True):
        if bottom > top and right > left:
            rows = slice(None) if order is None or count == len(images) else order[start : start + count]
            out[rows, ..., top:bottom, left:right] = resize(partners[rows], (bottom - top, right - left))
        start += count
    return out


def box_order(boxes: Tensor) -> Tensor:
    """The order of rows in which those that share a box stand together, boxes in rising order: (B,) int64."""
    return boxes.unique(dim=0, return_inverse=True)[1].argsort(stable=True)


def smaller(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images (n, C, H, W) at another size, by antialiased bilinear interpolation, in their dtype."""
    # Contiguous: in channels_last, torch's antialiased interpolation to a width of one pixel gives other numbers.
    wide = images.to(torch.promote_types(images.dtype, torch.float32)).contiguous()
    return _as(F.interpolate(wide, size=size, mode="bilinear", antialias=True), images.dtype)


def _check_pair(images: Tensor, partners: Tensor, blended: bool = False) -> None:
    check_tensor("images", images, "BCHW")
    if blended and not is_image_dtype(images.dtype):
        raise wrong("images", images, "float or uint8 images")
    check_tensor("partners", partners, images.shape, like=images)
    if partners.dtype != images.dtype:
        raise wrong("partners", partners, f"the dtype of images, {images.dtype}")


def _check_out(out: Tensor | None, images: Tensor, *others: Tensor) -> bool:
    """Whether a result is written into ``out``.

    Raises:
        MergeMixError: If it should be written into, and cannot be.
    """
    if out is None:
        return False
    check_tensor("out", out, images.shape, like=images)
    if out.dtype != images.dtype:
        raise wrong("out", out, f"the dtype of images, {images.dtype}")
    if _records(images, *others):
        return False
    if torch.is_grad_enabled() and out.requires_grad:
        raise wrong(
            "out", Words("a tensor that requires a gradient"), "one without a gradient, since it is overwritten"
        )
    return True


def _records(*tensors: Tensor) -> bool:
    """Whether a derivative is taken of them, forward or backward: then nothing is written in place."""
    backward = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    return backward or any(
        functorch.is_functorch_wrapped_tensor(t) or unpack_dual(t).tangent is not None for t in tensors
    )


def _as(images: Tensor, dtype: torch.dtype) -> Tensor:
    if dtype == torch.uint8:
        images = images.round().clamp(0, 255)
    return images.to(dtype)
