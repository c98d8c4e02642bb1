"""Bounding boxes of objects in mixed images: clipped to what is still seen, and dropped where that is too little."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from ..checks import check_finite
from ..errors import Words, check_bool, check_tensor, with_article, wrong
from .blends import Blend, Pairs, Paste

__all__ = ["Objects", "mix_all_objects", "mix_objects", "read_objects", "visible_boxes"]

# Of an image its boxes (n, 4) float, as left, top, right, bottom in pixels, and a label for each, (n,).
Objects = tuple[Tensor, Tensor]


def read_objects(boxes: Any, box_labels: Any, count: int) -> list[Objects] | None:
    """Boxes and labels of each of ``count`` images; None if there are none.

    Raises:
        MergeMixError: If they do not fit.
    """
    if boxes is None and box_labels is None:
        return None
    for name, values in (("boxes", boxes), ("box_labels", box_labels)):
        if not isinstance(values, (list, tuple)) or len(values) != count:
            got = Words(f"those of {len(values)} images") if isinstance(values, (list, tuple)) else values
            raise wrong(name, got, f"a list with a tensor for each of the {count} images")
    for number, (each, labels) in enumerate(zip(boxes, box_labels, strict=True)):
        _check_boxes(f"boxes[{number}]", each)
        check_tensor(f"box_labels[{number}]", labels, (len(each),))
    for name, values in (("boxes", boxes), ("box_labels", box_labels)):
        for number, value in enumerate(values):
            if (value.dtype, value.device) != (values[0].dtype, values[0].device):
                got = Words(f"{value.dtype} on {value.device}")
                raise wrong(f"{name}[{number}]", got, f"{values[0].dtype} on {values[0].device}, as in the first image")
    return list(zip(boxes, box_labels, strict=True))


def _check_boxes(argument: str, boxes: Any) -> None:
    if isinstance(boxes, Tensor) and type(boxes) is not Tensor:  # it may have another format than ours
        raise wrong(argument, Words(with_article(type(boxes).__name__)), "a plain tensor of left, top, right, bottom")
    check_tensor(argument, boxes, ("n", 4), "float")
    check_finite(argument, boxes)


def mix_objects(own: Objects, partner: Objects, paste: Paste, size: tuple[int, int], min_visible: float) -> Objects:
    """The objects of one mixed image: what the paste leaves of its own, then what it shows of its partner's.

    Args:
        own: Boxes and labels of the image.
        partner: Those of its partner.
        paste: Where the partner was pasted; one box (4,).
        size: Height and width of the images. What reaches over their edges was not seen before, and does not count.
        min_visible: Least share of an object's box that is still seen.
    """
    height, width = size
    top, bottom, left, right = paste.boxes.tolist()
    box, edges = (left, top, right, bottom), (0, 0, width, height)
    before, after = (visible_boxes(boxes, edges, inside=True)[0] for boxes in (own[0], partner[0]))
    kept, share = visible_boxes(before, box, inside=False)
    if paste.resized:
        x, y = after[:, 0::2] * ((right - left) / width) + left, after[:, 1::2] * ((bottom - top) / height) + top
        pasted = torch.stack([x, y], dim=2).flatten(1)
        pasted_share = visible_boxes(after, edges, inside=True)[1]
    else:
        pasted, pasted_share = visible_boxes(after, box, inside=True)
    shares = torch.cat([share, pasted_share])
    seen = ((shares >= min_visible) & (shares > 0)).nonzero().squeeze(1)  # an accelerator is waited for once
    boxes = torch.cat([kept, pasted])[seen].to(own[0].dtype)
    return boxes, torch.cat([own[1], partner[1]])[seen]


def mix_all_objects(
    objects: Sequence[Objects] | None, parts: Sequence[tuple[Pairs, Blend]], size: tuple[int, int], min_visible: float
) -> tuple[tuple[Tensor, ...] | None, tuple[Tensor, ...] | None]:
    """Boxes and labels of a whole batch, of which some rows were mixed.

    Raises:
        MergeMixError: If a way of mixing does not say where it pasted.
    """
    if objects is None:
        return None, None
    out = list(objects)
    for pairs, blend in parts:
        if blend.paste is None:
            wanted = "None, since this way of mixing does not report where it pasted partners"
            raise wrong("boxes", Words("boxes"), wanted)
        rows, partners = torch.stack([pairs.own_index, pairs.partner_index]).tolist()
        for row, partner, box in zip(rows, partners, blend.paste.boxes, strict=True):
            # An image that is its own partner, as the middle one of an odd batch, is not changed by its own pixels.
            if row != partner or blend.paste.resized:
                paste = blend.paste._replace(boxes=box)
                out[row] = mix_objects(objects[row], objects[partner], paste, size, min_visible)
    boxes, labels = zip(*out, strict=True)
    return boxes, labels


def visible_boxes(boxes: Tensor, paste: Sequence[float], inside: bool) -> tuple[Tensor, Tensor]:
    """Boxes clipped to what is seen of them, and which share of their area that is.

    Args:
        boxes: (n, 4) float: left, top, right, bottom.
        paste: Left, top, right, bottom of a rectangle.
        inside: Whether what is inside of it is seen, else what is outside.

    Returns:
        (n, 4), the smallest boxes around what is seen, without an area where nothing is; and (n,) shares from 0 to 1,
        0 for a box without an area. Both in float32 at least.

    Raises:
        MergeMixError: If ``boxes`` or ``paste`` are not boxes.
    """
    check_tensor("boxes", boxes, ("n", 4), "float")
    _check_rectangle(paste)
    check_bool("inside", inside)
    check_finite("boxes", boxes)
    boxes = boxes.to(torch.promote_types(boxes.dtype, torch.float32))
    left, top, right, bottom = boxes.unbind(1)
    low_x, low_y = left.clamp(paste[0], paste[2]), top.clamp(paste[1], paste[3])
    high_x, high_y = right.clamp(paste[0], paste[2]), bottom.clamp(paste[1], paste[3])
    area = (right - left).clamp_min(0) * (bottom - top).clamp_min(0)
    common = (high_x - low_x).clamp_min(0) * (high_y - low_y).clamp_min(0)
    if inside:
        seen, clipped = common, [low_x, low_y, high_x, high_y]
    else:
        seen = area - common
        # A side moves where the rectangle covers the box over its whole other axis, and reaches over that side.
        across = (common > 0) & (low_x <= left) & (high_x >= right)
        along = (common > 0) & (low_y <= top) & (high_y >= bottom)
        clipped = [
            torch.where(along & (low_x <= left), high_x, left),
            torch.where(across & (low_y <= top), high_y, top),
            torch.where(along & (high_x >= right), low_x, right),
            torch.where(across & (high_y >= bottom), low_y, bottom),
        ]
    share = torch.where(area > 0, seen / torch.where(area > 0, area, 1), 0)
    nothing = torch.stack([left, top, left, top], dim=1)
    return torch.where(share.unsqueeze(1) > 0, torch.stack(clipped, dim=1), nothing), share


def _check_rectangle(paste: Any) -> None:
    wanted = "left, top, right, bottom: finite numbers, with left <= right and top <= bottom"
    numbers = isinstance(paste, (list, tuple)) and len(paste) == 4 and all(isinstance(side, Real) for side in paste)
    if not numbers or not all(math.isfinite(side) for side in paste) or paste[0] > paste[2] or paste[1] > paste[3]:
        raise wrong("paste", paste, wanted)
