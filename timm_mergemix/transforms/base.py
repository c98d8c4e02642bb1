"""The base of all batch transforms: it finds the images and their labels in nested inputs and replaces them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from ..errors import Words, check_int, check_number, wrong
from ..mix.batch import MixedBatch
from ..mix.maps import soft_masks
from ..mix.mixer import Mixer
from .structure import Found, Place, find_inputs, find_labels, replaced

__all__ = ["BatchTransform"]

CORNERS = tv_tensors.BoundingBoxFormat.XYXY
ROUNDING = 1e-3  # in pixels: a side that rounding moved off a pixel's edge by less than this counts as on it


class BatchTransform(v2.Transform):
    """A batch transform that applies a mixer.

    Args:
        mixer: The mixer.
        labels_getter: A function of the inputs that returns the labels among them, or ``"default"``.
        mask_classes: Number of classes of masks, which then come back as class shares. None leaves them as they are.
        ignore_index: With ``mask_classes``, the class of pixels that do not count.
        min_visible: A box is dropped if a smaller share of it than this is still visible.

    Raises:
        MergeMixError: If an argument is out of its range.
    """

    def __init__(
        self,
        mixer: Mixer,
        labels_getter: Callable[[Any], Any] | str = "default",
        mask_classes: int | None = None,
        ignore_index: int | None = 255,
        min_visible: float = 0.1,
    ) -> None:
        super().__init__()
        is_default = isinstance(labels_getter, str) and labels_getter == "default"
        if not is_default and not callable(labels_getter):
            raise wrong("labels_getter", labels_getter, "a function that takes the inputs, or 'default'")
        if mask_classes is not None:
            check_int("mask_classes", mask_classes, 1)
        if ignore_index is not None:
            check_int("ignore_index", ignore_index, -(2**31))
        check_number("min_visible", min_visible, 0, 1)
        self.mask_classes = mask_classes
        self.ignore_index = ignore_index
        self.min_visible = min_visible
        self._labels_of = labels_getter if callable(labels_getter) else find_labels
        self._mixer = mixer

    def extra_repr(self) -> str:
        """What ``print`` shows."""
        mixer = self._mixer
        alpha = f"alpha={self.alpha}, " if hasattr(self, "alpha") else ""
        return f"{alpha}num_classes={mixer.num_classes}, mode={mixer.mode!r}"

    def forward(self, *inputs: Any) -> Any:
        """Returns the inputs in the same structure, as ``v2.MixUp`` does, with images, labels, masks and boxes mixed.

        Raises:
            MergeMixError: If the inputs hold no images, no labels, or something that would stay unmixed.
        """
        whole = inputs if len(inputs) != 1 else inputs[0]
        found = find_inputs(whole, self._labels_of)
        leaves, images = found.leaves, found.leaves[found.images]
        masks = None if found.masks is None else self._masks(leaves[found.masks])
        boxes = [_corners(leaves[place], images) for place, _ in found.objects]
        labels = [leaves[place] for _, place in found.objects]
        mixed = self._mixer.mix(
            images.as_subclass(Tensor) if isinstance(images, tv_tensors.TVTensor) else images,
            leaves[found.labels[0]] if found.labels else None,
            masks=masks,
            boxes=boxes or None,
            box_labels=labels or None,
            min_visible=self.min_visible,
        )
        return replaced(whole, _new(found, mixed))

    def _masks(self, masks: Tensor) -> Tensor:
        """Converts masks to what the mixer takes."""
        masks = masks.as_subclass(Tensor)
        if self.mask_classes is None:
            return masks
        if not masks.is_floating_point():
            return soft_masks(masks, self.mask_classes, self.ignore_index)
        if masks.ndim != 4 or masks.shape[1] != self.mask_classes:
            raise wrong("masks", masks, f"shape (B, {self.mask_classes}, H, W), as mask_classes says")
        return masks


def _new(found: Found, mixed: MixedBatch) -> dict[Place, Any]:
    """Returns the new value of each input that was mixed, by its place."""
    new: dict[Place, Any] = {found.images: _like(mixed.images, found.leaves[found.images])}
    for place in found.labels:
        new[place] = mixed.targets
    if found.masks is not None and mixed.masks is not None:
        new[found.masks] = _like(mixed.masks, found.leaves[found.masks])
    if mixed.boxes is not None and mixed.box_labels is not None:
        for each, boxes, labels in zip(found.objects, mixed.boxes, mixed.box_labels, strict=True):
            new[each.boxes] = _as_before(boxes, found.leaves[each.boxes])
            new[each.labels] = labels
    return new


def _like(values: Tensor, before: Tensor) -> Tensor:
    return tv_tensors.wrap(values, like=before) if isinstance(before, tv_tensors.TVTensor) else values


def _corners(boxes: tv_tensors.BoundingBoxes, images: Tensor) -> Tensor:
    """Converts boxes of any format to float (left, top, right, bottom).

    Raises:
        MergeMixError: If their canvas is not of the size of the images.
    """
    if images.ndim == 4 and tuple(boxes.canvas_size) != tuple(images.shape[-2:]):
        got = Words("boxes with a canvas of {} x {} pixels".format(*boxes.canvas_size))
        raise wrong("inputs", got, "a canvas of the size of the images, {} x {}".format(*images.shape[-2:]))
    # To float first: the corners of an integer box in centre format may lie halfway between integers.
    exact = boxes.as_subclass(Tensor).to(torch.promote_types(boxes.dtype, torch.float32))
    return F.convert_bounding_box_format(exact, old_format=boxes.format, new_format=CORNERS)


def _as_before(boxes: Tensor, before: tv_tensors.BoundingBoxes) -> Tensor:
    """Converts corners back to the format and dtype of the input; integer boxes are rounded outwards."""
    centred = before.format == tv_tensors.BoundingBoxFormat.CXCYWH
    if not before.is_floating_point() and not centred:
        boxes = torch.cat([(boxes[:, :2] + ROUNDING).floor(), (boxes[:, 2:] - ROUNDING).ceil()], dim=1)
    values = F.convert_bounding_box_format(boxes, old_format=CORNERS, new_format=before.format)
    if not before.is_floating_point() and centred:
        values = torch.cat([values[:, :2].round(), (values[:, 2:] - ROUNDING).ceil()], dim=1)
    return tv_tensors.wrap(values.to(before.dtype), like=before)
