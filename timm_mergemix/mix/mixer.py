"""What all mixers share: probabilities, modes, checks and targets around the blends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from ..checks import check_images, check_labels, check_range, check_saliency, check_share
from ..errors import Words, check_bool, check_int, check_number, check_same_device, check_tensor, named, wrong
from .batch import MixedBatch
from .blends import Blend, BlendFunction, Pairs, Paste, prepare
from .boxes import Objects, mix_all_objects, read_objects
from .config import MixConfig
from .draw import Draw, Integers, group_rows, numpy_rng
from .maps import check_masks, mix_all_masks
from .mask import check_boxes
from .transfer import to_device

__all__ = ["Mixer", "drop_unused"]


class Mixer:
    """Mixes batches by one of several blends; each image ``i`` of B with image B - 1 - i.

    Call it as timm's Mixup, ``images, targets = mixer(images, labels)``, or use `mix` to get everything by name. The
    caller's tensors are never changed. Set ``mixup_enabled`` to False to switch mixing off, as in timm.

    Args:
        blends: Ways of mixing, each with its probability. Where they add up to less than 1, the rest is not mixed.
        num_classes: Number of classes; may be None if labels are rows.
        prob: Probability of mixing at all.
        mode: What shares its parameters: ``"batch"``, the whole batch; ``"pair"``, an image and its partner;
            ``"elem"``, nothing.
        label_smoothing: In [0, 1], as timm's Mixup.
        multi_label: Labels are (B, num_classes) rows of independent classes, each smoothed towards 0.5.
        generator: Source of all randomness; torch's default generator if None. A mix takes one number from it.
        validate: True also checks values (NaN, label range) on an accelerator, which costs a synchronisation; on the
            CPU they are always checked.

    Raises:
        MergeMixError: If an argument is out of its range.
    """

    def __init__(
        self,
        blends: Sequence[tuple[BlendFunction, float]],
        *,
        num_classes: int | None = 1000,
        prob: float = 1.0,
        mode: str = "batch",
        label_smoothing: float = 0.1,
        multi_label: bool = False,
        generator: torch.Generator | None = None,
        validate: bool | None = None,
    ) -> None:
        if num_classes is not None:
            check_int("num_classes", num_classes, 1)
        MixConfig.check(locals())
        if generator is not None and not isinstance(generator, torch.Generator):
            raise wrong("generator", generator, "a torch.Generator or None")
        _check_blends(blends)
        if validate is not None:
            check_bool("validate", validate)
        self.blends = tuple(blends)
        self.num_classes = num_classes
        self.prob = prob
        self.mode = mode
        self.label_smoothing = label_smoothing
        self.multi_label = multi_label
        self.generator = generator
        self.validate = validate
        self.mixup_enabled = True

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mixes a batch, with the call of ``timm.data.Mixup``.

        Args:
            images: (B, C, H, W), float or uint8.
            labels: (B,) integers, or (B, num_classes) rows.

        Returns:
            The mixed images, and soft targets (B, num_classes) in float32.

        Raises:
            MergeMixError: If the input does not fit.
        """
        batch = self.mix(images, labels)
        return batch.images, batch.targets

    def mix(
        self,
        images: Tensor,
        labels: Tensor | None = None,
        saliency: Tensor | None = None,
        *,
        masks: Tensor | None = None,
        boxes: Sequence[Tensor] | None = None,
        box_labels: Sequence[Tensor] | None = None,
        min_visible: float = 0.1,
    ) -> MixedBatch:
        """Mixes a batch and names everything: see `MixedBatch`.

        Args:
            images: As in a call.
            labels: As in a call; may be None beside masks or boxes.
            saliency: (B, h, w) float, finite and non-negative, of the images, from a pass that was run
                before; None lets a blend that needs a map compute its own.
            masks: Dense labels of the images, mixed by the same pixel mask: class numbers (B, H, W) or (B, 1, H, W), or
                shares of classes (B, num_classes, H, W), as `functional.soft_masks` makes them. Mixup, which blends
                pixels, takes only shares. ResizeMix resizes masks by nearest neighbour.
            boxes: For each image (n, 4) float, the boxes of its objects: left, top, right, bottom in pixels. Only for
                ways of mixing that paste a box, CutMix and ResizeMix; they are clipped to what is still seen.
            box_labels: For each image (n,), a label for each of its boxes.
            min_visible: Boxes of which a smaller share is still seen are dropped, and those without an area.

        Raises:
            MergeMixError: If the input does not fit.
        """
        if labels is None and masks is None and boxes is None:
            raise wrong("labels", None, "labels, masks or boxes")
        self.check(images, labels, saliency)
        if masks is not None:
            check_masks(masks, images, self._blends_pixels, self.validate)
        objects = self._objects(len(images), boxes, box_labels, min_visible)
        # A subclass of tensors, such as torchvision's images, would come back or not by the way of mixing.
        images = images if type(images) is Tensor else images.as_subclass(Tensor)
        saliency = None if saliency is None else saliency.float()
        batch = len(images)
        index = torch.arange(batch - 1, -1, -1, device=images.device)
        rng, groups = numpy_rng(self.generator), group_rows(self.mode, batch)
        kinds = self._choose(Draw(rng, groups))
        parts = self._blend(Pairs(images, index, None, saliency), kinds, rng, groups)
        mixed = _assemble(images, parts)
        found = mix_all_objects(objects, parts, (images.shape[-2], images.shape[-1]), min_visible)
        return MixedBatch(
            mixed.images,
            None if labels is None else labels.to(images.device),  # type: ignore[arg-type]
            mixed.ratio,
            index,
            mixed.mask,
            mixed.saliency,
            images,
            tuple("none" if kind < 0 else self.blends[kind][0].name for kind in kinds),
            self.classes_for(labels),
            self.label_smoothing,
            self.multi_label,
            mixed.measured,
            mix_all_masks(masks, parts),
            *found,
        )

    def _blend(
        self, whole: Pairs, kinds: Integers, rng: np.random.Generator, groups: Integers
    ) -> list[tuple[Pairs, Blend]]:
        """The rows of each blend, and what it made of them.

        All numbers of all blends are drawn first, and reach the device by one copy, before anything runs there: a host
        that waited for the device in between would let it run dry.
        """
        ways, drawn = [], []
        for kind, (blend, _) in enumerate(self.blends):
            rows = np.flatnonzero(kinds == kind)
            if len(rows):
                pairs = whole if len(rows) == len(kinds) else whole.with_rows(torch.from_numpy(rows))
                prepared = prepare(blend, pairs, Draw(rng, groups[rows]))
                ways.append((blend.name, len(rows), pairs, prepared))
                drawn += [*prepared.drawn, *([] if pairs.rows is None else [pairs.rows])]
        there = iter(to_device(drawn, whole.images.device))
        parts = []
        for name, count, pairs, prepared in ways:
            arguments = [next(there) for _ in prepared.drawn]
            pairs = whole if pairs.rows is None else whole.with_rows(next(there))
            parts.append((pairs, _checked(prepared.finish(pairs, *arguments), whole.images, count, name)))
        return parts

    def _objects(self, count: int, boxes: Any, box_labels: Any, min_visible: float) -> list[Objects] | None:
        """Boxes and labels of each image; None if there are none.

        Raises:
            MergeMixError: If they do not fit, or a way of mixing pastes no box.
        """
        check_number("min_visible", min_visible, 0, 1)
        objects = read_objects(boxes, box_labels, count)
        scattered = [blend.name for blend, _ in self.blends if not getattr(blend, "pastes_box", False)]
        if objects is not None and scattered:
            raise wrong("boxes", Words(f"boxes for {scattered[0]}"), "only CutMix or ResizeMix, which paste one box")
        return objects

    @property
    def _blends_pixels(self) -> bool:
        """Whether a way of mixing may have no mask; one of a user's own that does not say so is asked when it ran."""
        return any(getattr(blend, "blends_pixels", False) for blend, _ in self.blends)

    def check(self, images: Tensor, labels: Tensor | None, saliency: Tensor | None = None) -> None:
        """Raises if a batch does not fit, before a random number is drawn; a subclass may check more."""
        if self.generator is not None and get_worker_info() is not None:
            wanted = "None, since all workers would draw the same numbers"
            raise wrong("generator", Words("a generator in a worker process"), wanted)
        check_images(images, self.validate)
        if labels is not None:
            check_labels(labels, len(images), self.classes_for(labels), self.multi_label, self.validate)
            if labels.is_meta and not images.is_meta:
                raise wrong("labels", Words("a tensor on meta"), "a tensor with values")
        if saliency is not None:
            check_saliency(saliency, len(images), self.validate)
            check_same_device("saliency", saliency, images)

    def classes_for(self, labels: Tensor | None) -> int | None:
        """The number of classes of these labels; a subclass may know one for integer labels only."""
        return self.num_classes

    def _choose(self, draw: Draw) -> Integers:
        """The number of each row's blend, -1 where it is not mixed."""
        steps = np.cumsum([share for _, share in self.blends]) * (self.prob if self.mixup_enabled else 0.0)
        kinds = np.searchsorted(steps, draw.uniform(), side="right")
        return np.where(kinds < len(self.blends), kinds, -1)

    def __repr__(self) -> str:
        blends = ", ".join(f"{blend.name}: {share:g}" for blend, share in self.blends)
        return f"{type(self).__name__}({blends}, prob={self.prob}, mode={self.mode!r}, num_classes={self.num_classes})"


def _check_blends(blends: Any) -> None:
    """Raises unless these are ways of mixing, each with its probability."""
    wanted = "functions of pairs and a draw, with a name, each with its probability"
    if not isinstance(blends, (list, tuple)) or not all(isinstance(b, (list, tuple)) and len(b) == 2 for b in blends):
        raise wrong("blends", blends, wanted)
    for blend, share in blends:
        check_number("blends", share, 0, 1)
        if not callable(blend) or not isinstance(getattr(blend, "name", None), str):
            raise wrong("blends", blend, wanted)
    if not blends or sum(share for _, share in blends) > 1 + 1e-9:
        raise wrong("blends", blends, "at least one way of mixing, with probabilities that add up to at most 1")


def _checked(blend: Blend, images: Tensor, count: int, name: str) -> Blend:
    """What a way of mixing gave, with its ratios in the precision in which they are kept.

    Raises:
        MergeMixError: If it does not fit the batch.
    """
    height, width = images.shape[-2:]
    for field, shape in (
        ("images", (count, *images.shape[1:])),
        ("ratio", (count,)),
        ("mask", (count, 1, height, width)),
        ("measured", (count,)),
    ):
        value: Any = getattr(blend, field, None)
        optional = field in ("mask", "measured")
        if optional and value is None:
            continue
        check_tensor(f"{field} of {name}", value, shape, {"images": "", "mask": "bool"}.get(field, "float"))
        if field in ("ratio", "measured"):
            check_share(f"{field} of {name}", value)
            if value.is_meta and not images.is_meta:
                raise wrong(f"{field} of {name}", Words("a tensor on meta"), "a tensor with values")
        else:
            check_same_device(f"{field} of {name}", value, images)
    if blend.saliency is not None:
        check_tensor(f"saliency of {name}", blend.saliency, (count, "h", "w"), "float", like=images)
    if blend.images.dtype != images.dtype:
        raise wrong(f"images of {name}", blend.images, f"the dtype of the batch, {images.dtype}")
    if blend.paste is not None:
        _check_paste(blend, count, name)
    ratio = blend.ratio.to(images.device, torch.float32)
    measured = None if blend.measured is None else blend.measured.to(images.device, torch.float32)
    return blend._replace(images=blend.images.as_subclass(Tensor), ratio=ratio, measured=measured)


def _check_paste(blend: Blend, count: int, name: str) -> None:
    paste, argument = blend.paste, f"paste of {name}"
    if not isinstance(paste, Paste) or blend.mask is None:
        raise wrong(argument, paste, "a Paste, in a blend that also has a mask")
    check_bool(f"resized of {name}", paste.resized)
    with named(boxes=f"boxes of {name}"):
        check_tensor("boxes", paste.boxes, (count, 4), "integer")
        check_boxes(paste.boxes, blend.mask.shape[-2], blend.mask.shape[-1])
        if paste.boxes.device.type != "cpu":
            raise wrong("boxes", Words(f"boxes on {paste.boxes.device}"), "boxes on the CPU")
    if paste.order is not None:
        check_tensor(f"order of {name}", paste.order, (count,), "integer", like=blend.mask)
        check_range(f"order of {name}", paste.order, 0, count - 1)


def _assemble(images: Tensor, parts: Sequence[tuple[Pairs, Blend]]) -> Blend:
    """Blended rows in a whole batch."""
    if len(parts) == 1 and parts[0][0].rows is None:
        return parts[0][1]
    ratio = torch.ones(len(images), dtype=torch.float32, device=images.device)
    out, mask, saliency = (images.clone() if parts else images), None, None
    measured = torch.ones_like(ratio) if any(part.measured is not None for _, part in parts) else None
    for pairs, part in parts:
        rows = pairs.own_index
        out[rows], ratio[rows] = part.images, part.ratio
        if measured is not None:
            measured[rows] = part.ratio if part.measured is None else part.measured
        if part.mask is not None:
            mask = part.mask.new_ones(len(images), *part.mask.shape[1:]) if mask is None else mask
            mask[rows] = part.mask
        if part.saliency is not None:
            saliency = part.saliency.new_zeros(len(images), *part.saliency.shape[1:]) if saliency is None else saliency
            saliency[rows] = part.saliency
    return Blend(out, ratio, mask, saliency, measured)


def drop_unused(blends: Sequence[tuple[BlendFunction, float]]) -> list[tuple[BlendFunction, float]]:
    """The blends that have a probability.

    Raises:
        MergeMixError: If all of them have a probability of 0.
    """
    kept = [(blend, share) for blend, share in blends if share > 0]
    if not kept:
        raise wrong("mixup_alpha, cutmix_alpha, ...", Words("0 for every way of mixing"), "at least one of them > 0")
    return kept
