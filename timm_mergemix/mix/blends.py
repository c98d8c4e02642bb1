"""Ways of mixing rows of a batch with their partners: Mixup, CutMix, ResizeMix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from ..errors import wrong
from .config import MixConfig, check_limits
from .draw import Draw, Floats, Integers
from .images import blend_images, box_order, mix_images, paste_boxes, smaller
from .mask import box_mask
from .ratio import area_ratio
from .transfer import to_device

__all__ = [
    "Blend",
    "BlendFunction",
    "CutMixBlend",
    "MixupBlend",
    "Pairs",
    "Paste",
    "PreparedBlend",
    "ResizeMixBlend",
    "prepare",
]


@dataclass(frozen=True)
class Pairs:
    """The rows of a batch that a blend mixes.

    Attributes:
        images: (B, C, H, W), the whole batch.
        index: (B,) int64, the partner of each image.
        rows: (n,) int64, the rows to mix; None for all of them.
        saliency: (B, h, w), of the whole batch, if it was computed before; None lets a blend compute its own.
    """

    images: Tensor
    index: Tensor
    rows: Tensor | None = None
    saliency: Tensor | None = None

    @property
    def own(self) -> Tensor:
        """(n, C, H, W), the images to mix."""
        return self.images if self.rows is None else self.images[self.rows]

    @property
    def own_index(self) -> Tensor:
        """(n,) int64, the rows to mix."""
        return torch.arange(len(self.images), device=self.images.device) if self.rows is None else self.rows

    @property
    def partner_index(self) -> Tensor:
        """(n,) int64, their partners."""
        return self.index if self.rows is None else self.index[self.rows]

    @property
    def partner(self) -> Tensor:
        """(n, C, H, W), the partners' images; always a new tensor, so that a mix may be written into it."""
        return self.images[self.partner_index]

    def with_rows(self, rows: Tensor | None) -> Pairs:
        """The same, of other rows, or with the rows on another device."""
        return replace(self, rows=rows)


class Paste(NamedTuple):
    """Where partners were pasted, for blends that paste one box into each image.

    Attributes:
        boxes: (n, 4) int64 on the CPU: top, bottom, left, right in pixels.
        resized: Whether the whole partner was resized into its box, or its pixels in that place were copied.
        order: (n,) int64 on the images' device, the `box_order` of the boxes; None if it has not been moved there.
    """

    boxes: Tensor
    resized: bool
    order: Tensor | None = None


class Blend(NamedTuple):
    """Mixed rows.

    Attributes:
        images: (n, C, H, W).
        ratio: (n,) float32, how much of each mix is the original image.
        mask: (n, 1, H, W) bool, True where a pixel is the original's; None if pixels are blended.
        saliency: (n, h, w) float32, or None.
        measured: (n,) float32, the ratio measured on the mix; None if ``ratio`` is that already.
        paste: Where the partners were pasted; None if that is not a box.
    """

    images: Tensor
    ratio: Tensor
    mask: Tensor | None = None
    saliency: Tensor | None = None
    measured: Tensor | None = None
    paste: Paste | None = None


class BlendFunction(Protocol):
    """A way of mixing. It draws all its randomness first, and is deterministic after that.

    A class may say of itself ``pastes_box = True``, and then takes bounding boxes: each of its blends has a `Paste`. It
    may say ``blends_pixels = True``, and then gets no masks of class numbers: its blends have no mask. It may have a
    method ``prepare_blend(pairs, draw)`` that returns a `PreparedBlend`, as `TwoStepBlend` has: then a batch that is
    mixed in several ways is drawn as a whole and takes one copy to the device.
    """

    @property
    def name(self) -> str:
        """What `MixedBatch.kind` reports."""

    def __call__(self, pairs: Pairs, draw: Draw) -> Blend:
        """Mixes the rows of ``pairs``."""


class PreparedBlend(NamedTuple):
    """What a blend has drawn, and what it will do with that.

    Attributes:
        drawn: Tensors on the CPU.
        finish: The pairs, and the same tensors on the device of the images -> the blend.
    """

    drawn: tuple[Tensor, ...]
    finish: Callable[..., Blend]


class TwoStepBlend:
    """A blend that is drawn on the host, and made on the device of the images."""

    def __call__(self, pairs: Pairs, draw: Draw) -> Blend:
        """Mixes the rows of ``pairs``, see `BlendFunction`."""
        prepared = self.prepare_blend(pairs, draw)
        return prepared.finish(pairs, *to_device(prepared.drawn, pairs.images.device))

    def prepare_blend(self, pairs: Pairs, draw: Draw) -> PreparedBlend:
        """Draws for the rows of ``pairs``, which may still be on the host; no pixel is read."""
        raise NotImplementedError


def prepare(blend: BlendFunction, pairs: Pairs, draw: Draw) -> PreparedBlend:
    """Lets a blend draw its random numbers. A user's own blend without `prepare_blend` is called at once.

    Args:
        blend: A way of mixing.
        pairs: What it mixes, with rows on the CPU.
        draw: What it draws from.
    """
    prepared = blend.prepare_blend(pairs, draw) if _has_two_steps(type(blend)) else None  # type: ignore[attr-defined]
    if isinstance(prepared, PreparedBlend):
        return prepared
    rows = None if pairs.rows is None else to_device([pairs.rows], pairs.images.device)[0]
    made = blend(pairs.with_rows(rows), draw)
    return PreparedBlend((), lambda pairs: made)


def _has_two_steps(kind: type) -> bool:
    """Whether a class is called in two steps; a subclass that is called in a way of its own is not."""
    for base in kind.__mro__:
        if "prepare_blend" in vars(base):
            return True
        if "__call__" in vars(base):
            return False
    return False


@dataclass(frozen=True)
class MixupBlend(TwoStepBlend):
    """Mixup with lam ~ Beta(alpha, alpha)."""

    alpha: float = 1.0
    name: str = "mixup"
    blends_pixels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        MixConfig.check({"mixup_alpha": self.alpha})

    def prepare_blend(self, pairs: Pairs, draw: Draw) -> PreparedBlend:
        """Draws the ratios, see `TwoStepBlend`."""
        return PreparedBlend((_ratio(draw.beta(self.alpha)),), self._finish)

    @staticmethod
    def _finish(pairs: Pairs, ratio: Tensor) -> Blend:
        partner = pairs.partner
        return Blend(blend_images(pairs.own, partner, ratio, out=partner), ratio)


@dataclass(frozen=True)
class CutMixBlend(TwoStepBlend):
    """CutMix, with the boxes of timm's Mixup.

    Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features", ICCV 2019
    (arXiv 1905.04899).

    Attributes:
        alpha: The box covers 1 - lam of the image, lam ~ Beta(alpha, alpha).
        minmax: Draw the box's sides from these shares of the image instead.
        correct_lam: Whether the ratio is what the box leaves after it was clipped to the image, else the drawn lam.
    """

    alpha: float = 1.0
    minmax: tuple[float, float] | None = None
    correct_lam: bool = True
    name: str = "cutmix"
    pastes_box: ClassVar[bool] = True

    def __post_init__(self) -> None:
        MixConfig.check({"cutmix_alpha": self.alpha, "cutmix_minmax": self.minmax})

    def prepare_blend(self, pairs: Pairs, draw: Draw) -> PreparedBlend:
        """Draws the boxes, see `TwoStepBlend`."""
        height, width = pairs.images.shape[-2:]
        lam = draw.beta(self.alpha)
        limits = (
            self._clipped_boxes(draw, lam, height, width)
            if self.minmax is None
            else self._free_boxes(draw, height, width)
        )
        boxes = torch.from_numpy(limits)
        measures = self.correct_lam or self.minmax is not None
        return PreparedBlend((boxes,) if measures else (boxes, _ratio(lam)), partial(self._finish, boxes))

    @staticmethod
    def _finish(on_host: Tensor, pairs: Pairs, boxes: Tensor, ratio: Tensor | None = None) -> Blend:
        mask = box_mask(boxes, *pairs.images.shape[-2:])
        partner, area = pairs.partner, area_ratio(mask)
        mixed, paste = mix_images(pairs.own, partner, mask, out=partner), Paste(on_host, resized=False)
        if ratio is None:
            return Blend(mixed, area, mask, paste=paste)
        return Blend(mixed, ratio, mask, measured=area, paste=paste)

    @staticmethod
    def _clipped_boxes(draw: Draw, lam: Floats, height: int, width: int) -> Integers:
        side = np.sqrt(1 - lam)
        limits = []
        for length in (height, width):
            cut = (length * side).astype(np.int64)
            center = draw.integers(0, length)
            limits += [np.clip(center - cut // 2, 0, length), np.clip(center + (cut + 1) // 2, 0, length)]
        return np.stack(limits, axis=1)

    def _free_boxes(self, draw: Draw, height: int, width: int) -> Integers:
        low, high = self.minmax or (0.0, 1.0)
        limits = []
        for length in (height, width):
            cut = draw.integers(int(length * low), max(int(length * high), int(length * low) + 1))
            start = draw.integers(0, length - cut + 1)
            limits += [start, start + cut]
        return np.stack(limits, axis=1)


@dataclass(frozen=True)
class ResizeMixBlend(TwoStepBlend):
    """ResizeMix: the whole partner, resized, pasted at a random place.

    Qin et al., 2020 (arXiv 2012.11101).

    Attributes:
        scale: Limits of the pasted image's side, as a share of the image's; drawn uniformly.
    """

    scale: tuple[float, float] = (0.1, 0.8)
    name: str = "resizemix"
    pastes_box: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.scale is None:
            raise wrong("scale", None, "two shares, (low, high)")
        check_limits("scale", self.scale)

    def prepare_blend(self, pairs: Pairs, draw: Draw) -> PreparedBlend:
        """Draws the boxes, see `TwoStepBlend`."""
        side = draw.uniform(*self.scale)
        limits = []
        for length in pairs.images.shape[-2:]:
            cut = np.maximum(1, np.rint(length * side).astype(np.int64))
            start = draw.integers(0, length - cut + 1)
            limits += [start, start + cut]
        boxes = torch.from_numpy(np.stack(limits, axis=1))
        return PreparedBlend((boxes, box_order(boxes)), partial(self._finish, boxes))

    @staticmethod
    def _finish(on_host: Tensor, pairs: Pairs, boxes: Tensor, order: Tensor) -> Blend:
        mask = box_mask(boxes, *pairs.images.shape[-2:])
        mixed = paste_boxes(pairs.own, pairs.partner, on_host, smaller, order)
        return Blend(mixed, area_ratio(mask), mask, paste=Paste(on_host, resized=True, order=order))


def _ratio(values: Floats) -> Tensor:
    return torch.from_numpy(values).float()
