"""The record of one mix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..errors import check_bool, check_tensor, unusable, wrong
from .targets import mix_targets

__all__ = ["MixedBatch", "moved", "with_tensors"]

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class MixedBatch:
    """A mixed batch, with everything that it was made from. Image ``i`` is mixed with image ``index[i]``.

    Attributes:
        images: (B, C, H, W), the mix, in the dtype of ``raw``.
        labels: (B,) integers or (B, num_classes) rows, as they were given; None if there are only masks or boxes.
        ratio: (B,) float32, how much of the mix is image ``i``; 1 where it was not mixed.
        index: (B,) int64, the partner of each image.
        mask: (B, 1, H, W) bool, True where a pixel is image ``i``'s; True throughout for rows that were not mixed by a
            mask; None if no row was.
        saliency: (B, h, w) float32, of the original images, by which masks were chosen; 0 for rows not mixed by
            MergeMix; None without any.
        raw: (B, C, H, W), the images as they were given.
        kind: For each row the name of the blend, ``"none"`` where it was not mixed.
        num_classes: Number of classes, as the mixer knows it; None if it has only seen rows.
        smoothing: Label smoothing of the targets.
        multi_label: Whether the classes are independent.
        measured: (B,) float32, the ratio as measured on the mix, where ``ratio`` is not: with the published Gaussian
            re-scaling, and with CutMix's drawn lam (``correct_lam=False``). None if ``ratio`` is measured itself.
        masks: Dense labels, (B, H, W) or (B, num_classes, H, W), mixed as the images; None if there are none.
        boxes: For each image (n, 4) float, the boxes of its objects that are still seen: left, top, right, bottom in
            pixels; None if there are none.
        box_labels: For each image (n,), the labels of its boxes.
    """

    images: Tensor
    labels: Tensor
    ratio: Tensor
    index: Tensor
    mask: Tensor | None
    saliency: Tensor | None
    raw: Tensor
    kind: tuple[str, ...]
    num_classes: int | None = None
    smoothing: float = 0.0
    multi_label: bool = False
    measured: Tensor | None = None
    masks: Tensor | None = None
    boxes: tuple[Tensor, ...] | None = None
    box_labels: tuple[Tensor, ...] | None = None

    @property
    def targets(self) -> Tensor:
        """(B, num_classes) float soft targets: ``ratio * y_i + (1 - ratio) * y_index[i]``, smoothed."""
        # Kept by hand: the lock of `cached_property` in Python 3.11 and older cannot be traced by a compiler.
        kept: Tensor | None = self.__dict__.get("targets")
        if kept is None:
            kept = mix_targets(self.labels, self.index, self.ratio, self.num_classes, self.smoothing, self.multi_label)
            if not torch.compiler.is_compiling():
                self.__dict__["targets"] = kept
        return kept

    @property
    def mass(self) -> Tensor:
        """(B,) float32, target mass of each image's own class in its mix, before smoothing.

        It is the measured ratio, and 1 where the partner has the same class or the image was not mixed.

        Raises:
            MergeMixError: If the labels are rows, since a row does not name one class.
        """
        check_tensor("labels", self.labels, (len(self),), "integer")
        ratio = self.ratio if self.measured is None else self.measured
        labels = self.labels.long()  # torch 2.6 cannot index wide unsigned integers
        return ratio.where(labels != labels[self.index], 1.0)

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> MixedBatch:
        """The same batch on another device.

        Args:
            device: The device to move to.
            non_blocking: Whether the copy from pinned memory may go on while this returns.

        Raises:
            MergeMixError: If ``device`` is not a device. A dtype is refused, since it would change the labels.
        """
        return moved(self, device, non_blocking)

    def pin_memory(self) -> MixedBatch:
        """The same batch in pinned memory, as ``DataLoader(pin_memory=True)`` asks for it."""
        return with_tensors(self, Tensor.pin_memory)

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        kinds = ", ".join(f"{self.kind.count(kind)} {kind}" for kind in dict.fromkeys(self.kind))
        return f"MixedBatch(images={tuple(self.images.shape)}, {kinds}, mean ratio={self.ratio.mean().item():.3f})"


def moved(record: T, device: torch.device | str | int, non_blocking: bool) -> T:
    """A record with its tensors on a device.

    Raises:
        MergeMixError: If it is not a device.
    """
    check_bool("non_blocking", non_blocking)
    if isinstance(device, bool) or not isinstance(device, (torch.device, str, int)):
        raise wrong("device", device, "a device or its name")
    try:
        device = torch.device(device)
        torch.empty(0, device=device)  # raises where there is no such device, or no driver of it
    except (RuntimeError, ValueError, AssertionError, NotImplementedError) as error:
        raise unusable("device", f"{device!r} cannot be used: {str(error).splitlines()[0]}") from error
    return with_tensors(record, lambda tensor: tensor.to(device, non_blocking=non_blocking))


def with_tensors(record: T, change: Callable[[Tensor], Tensor]) -> T:
    """A dataclass with each tensor changed that it holds, itself or in tuples and dataclasses.

    One that stands in several places is changed once, and stands in all of them again.
    """
    changed: dict[int, Tensor] = {}

    def part(value: Any) -> Any:
        if isinstance(value, Tensor):
            if id(value) not in changed:
                changed[id(value)] = change(value)
            return changed[id(value)]
        if isinstance(value, tuple):
            return tuple(part(each) for each in value)
        if is_dataclass(value) and not isinstance(value, type):
            return replace(value, **{field.name: part(getattr(value, field.name)) for field in fields(value)})
        return value

    result: T = part(record)
    return result
