"""What all mixers share: probabilities, modes, checks and targets around the blends."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..checks import check_images, check_labels, check_saliency
from ..errors import Words, check_int, check_number, wrong
from .batch import MixedBatch
from .blends import Blend, BlendFunction, Pairs
from .config import MixConfig
from .draw import Draw, Integers, group_rows, numpy_rng

__all__ = ["Mixer", "drop_unused"]


class Mixer:
    """Mixes batches by one of several blends; each image ``i`` of B with image B - 1 - i.

    Call it as timm's Mixup, ``images, targets = mixer(images, labels)``, or use `mix` to get everything by name. The
    caller's tensors are never changed. Set ``mixup_enabled`` to False to switch mixing off, as in timm.

    Args:
        blends: Ways of mixing, each with its probability. Where they add up to less than 1, the rest is not mixed.
        num_classes: Number of classes; may be None where labels are rows.
        prob: Probability of mixing at all.
        mode: What shares its parameters: ``"batch"``, the whole batch; ``"pair"``, an image and its partner;
            ``"elem"``, nothing.
        label_smoothing: In [0, 1], as timm's Mixup.
        multi_label: Labels are (B, num_classes) rows of independent classes, each smoothed towards 0.5.
        generator: Where randomness comes from; torch's default generator if None. A mix takes one number from it.
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
        for _, share in blends:
            check_number("blends", share, 0, 1)
        if not blends or sum(share for _, share in blends) > 1 + 1e-9:
            raise wrong("blends", blends, "at least one way of mixing, with probabilities that add up to at most 1")
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

    def mix(self, images: Tensor, labels: Tensor, saliency: Tensor | None = None) -> MixedBatch:
        """Mixes a batch and names everything: see `MixedBatch`.

        Args:
            images: As in a call.
            labels: As in a call.
            saliency: (B, h, w) float, finite and non-negative, of the images, from a pass that somebody has run
                already; None lets a blend that needs one find its own.

        Raises:
            MergeMixError: If the input does not fit.
        """
        self.check(images, labels)
        if saliency is not None:
            check_saliency(saliency, len(images), self.validate)
            saliency = saliency.float()
        batch = len(images)
        index = torch.arange(batch - 1, -1, -1, device=images.device)
        rng, groups = numpy_rng(self.generator), group_rows(self.mode, batch)
        kinds = self._choose(Draw(rng, groups))
        parts = []
        for kind, (blend, _) in enumerate(self.blends):
            rows = np.flatnonzero(kinds == kind)
            if len(rows):
                on_device = None if len(rows) == batch else torch.from_numpy(rows).to(images.device)
                pairs = Pairs(images, index, on_device, saliency)
                parts.append(
                    (on_device, _checked(blend(pairs, Draw(rng, groups[rows])), images, len(rows), blend.name))
                )
        mixed = _assemble(images, parts)
        return MixedBatch(
            mixed.images,
            labels.to(images.device),
            mixed.ratio,
            index,
            mixed.mask,
            mixed.saliency,
            images,
            tuple("none" if kind < 0 else self.blends[kind][0].name for kind in kinds),
            self.num_classes,
            self.label_smoothing,
            self.multi_label,
            mixed.measured,
        )

    def check(self, images: Tensor, labels: Tensor) -> None:
        """Raises if a batch does not fit, before a random number is drawn; a subclass may want more of it."""
        check_images(images, self.validate)
        check_labels(labels, len(images), self.num_classes, self.multi_label, self.validate)

    def _choose(self, draw: Draw) -> Integers:
        """The number of each row's blend, -1 where it is not mixed."""
        steps = np.cumsum([share for _, share in self.blends]) * (self.prob if self.mixup_enabled else 0.0)
        kinds = np.searchsorted(steps, draw.uniform(), side="right")
        return np.where(kinds < len(self.blends), kinds, -1)

    def __repr__(self) -> str:
        blends = ", ".join(f"{blend.name}: {share:g}" for blend, share in self.blends)
        return f"{type(self).__name__}({blends}, prob={self.prob}, mode={self.mode!r}, num_classes={self.num_classes})"


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
        value = getattr(blend, field, None)
        optional = field in ("mask", "measured")
        if not (optional and value is None) and (not isinstance(value, Tensor) or value.shape != shape):
            raise wrong(f"{field} of {name}", value, f"a tensor of shape {shape}")
    if blend.images.dtype != images.dtype:
        raise wrong(f"images of {name}", blend.images, f"the dtype that came, {images.dtype}")
    ratios = {"ratio": blend.ratio, "measured": blend.measured}
    kept = {name: ratio.to(images.device, torch.float32) for name, ratio in ratios.items() if ratio is not None}
    return blend._replace(**kept)


def _assemble(images: Tensor, parts: list[tuple[Tensor | None, Blend]]) -> Blend:
    """Blended rows in a whole batch; rows None stands for all of them."""
    if len(parts) == 1 and parts[0][0] is None:
        return parts[0][1]
    ratio = torch.ones(len(images), dtype=torch.float32, device=images.device)
    out, mask, saliency = (images.clone() if parts else images), None, None
    measured = torch.ones_like(ratio) if any(part.measured is not None for _, part in parts) else None
    for rows, part in parts:
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
        MergeMixError: If there is none.
    """
    kept = [(blend, share) for blend, share in blends if share > 0]
    if not kept:
        raise wrong("mixup_alpha, cutmix_alpha, ...", Words("0 for every way of mixing"), "one > 0")
    return kept
