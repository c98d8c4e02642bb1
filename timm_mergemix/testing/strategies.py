"""A hypothesis strategy for batches of images and labels, which shrinks to small batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor

from ..checks import is_image_dtype
from ..errors import check_choice, check_int, wrong

__all__ = ["DTYPES", "LAYOUTS", "Batch", "as_pixels", "batches", "modes"]

DTYPES = (torch.float32, torch.uint8, torch.float16, torch.bfloat16, torch.float64)
LABELS = ("integers", "rows")
MODES = ("batch", "pair", "elem")


class Batch(NamedTuple):
    """A batch of images and labels.

    Attributes:
        images: (B, C, H, W), from 0 to 1, or from 0 to 255 in uint8.
        labels: (B,) int64.
        num_classes: Number of classes.
        seed: Seed of the mix.
        layout: Memory layout of the images: one of `LAYOUTS`.
        kind: Form of the labels for the mixer: ``"integers"``, or one-hot ``"rows"`` (B, num_classes) in float32.
    """

    images: Tensor
    labels: Tensor
    num_classes: int
    seed: int
    layout: str = "contiguous"
    kind: str = "integers"

    @property
    def given(self) -> Tensor:
        """The labels of the batch in the form that the mixer gets."""
        return self.give(self.labels)

    def give(self, labels: Tensor) -> Tensor:
        """Converts labels (B,) to the form that the mixer gets."""
        return labels.clone() if self.kind == "integers" else F.one_hot(labels, self.num_classes).float()

    def painted(self, colours: Tensor) -> Tensor:
        """Returns images of one colour each, with the same shape, dtype and layout as this batch.

        Args:
            colours: (B, C), from 0 to 1.
        """
        pixels = colours[:, :, None, None].expand(self.images.shape)
        return LAYOUTS[self.layout](as_pixels(pixels, self.images.dtype))

    def __repr__(self) -> str:
        shape, dtype = tuple(self.images.shape), str(self.images.dtype).removeprefix("torch.")
        labels = f"labels {self.labels.tolist()} of {self.num_classes}" + (" as rows" if self.kind == "rows" else "")
        layout = "" if self.layout == "contiguous" else f" {self.layout}"
        return f"images {shape} {dtype}{layout}, {labels}, seed {self.seed}"


def as_pixels(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Converts numbers from 0 to 1 to pixels of a dtype, in a new contiguous tensor."""
    pixels = (values * 255).round() if dtype == torch.uint8 else values
    return pixels.to(dtype, memory_format=torch.contiguous_format, copy=True)


def _channels_last(images: Tensor) -> Tensor:
    return images.clone(memory_format=torch.channels_last)


def _strided(images: Tensor) -> Tensor:
    """Returns the images as every second column of wider ones."""
    return images.repeat_interleave(2, dim=3)[..., ::2]


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda images: images.clone(memory_format=torch.contiguous_format),
    "channels_last": _channels_last,
    "strided": _strided,
}


def batches(
    num_classes: int = 5,
    *,
    sizes: Sequence[int] = (1, 2, 3, 4, 6),
    channels: Sequence[int] = (3,),
    heights: Sequence[int] = (8, 12, 16),
    widths: Sequence[int] = (8, 12, 16),
    dtypes: Sequence[torch.dtype] = (torch.float32,),
    layouts: Sequence[str] = tuple(LAYOUTS),
    labels: Sequence[str] = ("integers",),
) -> st.SearchStrategy[Batch]:
    """A strategy for batches. Each option lists the allowed values, simplest first: failures shrink towards the first.

    Args:
        num_classes: Number of classes.
        sizes: Numbers of images.
        channels: Numbers of channels.
        heights: Heights in pixels.
        widths: Widths in pixels.
        dtypes: Float dtypes of the images, or ``torch.uint8``.
        layouts: Memory layouts of the images: ``"contiguous"``, ``"channels_last"``, ``"strided"``.
        labels: Forms of the labels: ``"integers"`` (B,), one-hot ``"rows"`` (B, num_classes).

    Raises:
        MergeMixError: If an option is empty or contains a value that is not allowed.
    """
    options = locals()
    _check_options(**options)
    return _draw_batch(**options)


def modes() -> st.SearchStrategy[str]:
    """A strategy for mixing modes: ``"batch"``, ``"pair"`` or ``"elem"``."""
    return st.sampled_from(MODES)


def _check_options(num_classes: int, **options: Any) -> None:
    """Raises unless these are valid arguments of `batches`."""
    check_int("num_classes", num_classes, 2)
    for name, values in options.items():
        if not isinstance(values, Sequence) or isinstance(values, str) or not values:
            raise wrong(name, values, "a list of at least one value")
        for place, value in enumerate(values):
            _check_value(name, value, f"[{place}]")


def _check_value(name: str, value: Any, part: str) -> None:
    if name == "dtypes":
        if not isinstance(value, torch.dtype) or not is_image_dtype(value):
            raise wrong(name, value, "a float dtype or torch.uint8", part)
    elif name in ("layouts", "labels"):
        check_choice(f"{name}{part}", value, LAYOUTS if name == "layouts" else LABELS)
    else:
        check_int(name, value, 1, part)


@st.composite
def _draw_batch(
    draw: st.DrawFn,
    num_classes: int,
    sizes: Sequence[int],
    channels: Sequence[int],
    heights: Sequence[int],
    widths: Sequence[int],
    dtypes: Sequence[torch.dtype],
    layouts: Sequence[str],
    labels: Sequence[str],
) -> Batch:
    shape = [draw(st.sampled_from(list(values))) for values in (sizes, channels, heights, widths)]
    classes = draw(st.lists(st.integers(0, num_classes - 1), min_size=shape[0], max_size=shape[0]))
    seed, layout = draw(st.integers(0, 2**16)), draw(st.sampled_from(list(layouts)))
    dtype, kind = draw(st.sampled_from(list(dtypes))), draw(st.sampled_from(list(labels)))
    pixels = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    images = LAYOUTS[layout](as_pixels(pixels, dtype))
    return Batch(images, torch.tensor(classes), num_classes, seed, layout, kind)
