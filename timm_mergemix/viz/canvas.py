"""What the pictures share: figures, and images as matplotlib wants them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import MergeMixError, check_number, need, wrong

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["check_named", "displayable", "frame", "is_number", "label_lines", "new_figure", "show_image", "show_text"]


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches. It needs no display, and leaves pyplot's global state alone."""
    need("matplotlib.figure", "drawing", "viz")
    from .notebook import NotebookFigure

    return NotebookFigure(figsize=(width, height), dpi=110, layout="constrained")


def displayable(images: Tensor, mean: Sequence[float] | None, std: Sequence[float] | None) -> Tensor:
    """Images as matplotlib draws them: (B, H, W, C) float from 0 to 1, with 1 or 3 channels.

    Args:
        images: (B, C, H, W), uint8 or float.
        mean: Mean per channel with which they were normalised; None if they were not.
        std: Deviation per channel with which they were normalised; None if they were not.

    Raises:
        MergeMixError: If the statistics do not fit the channels.
    """
    values = images.detach().cpu()
    values = values.float() / 255 if values.dtype == torch.uint8 else values.float()
    channels = values.shape[1]
    if std is not None:
        values = values * _column("std", std, channels)
    if mean is not None:
        values = values + _column("mean", mean, channels)
    values = values if channels in (1, 3) else values.mean(dim=1, keepdim=True)
    return values.clamp(0, 1).movedim(1, -1)


def _column(argument: str, statistics: Sequence[float], channels: int) -> Tensor:
    """One number per channel, (C, 1, 1)."""
    wanted = f"{channels} finite numbers, one for each channel"
    try:
        values = torch.as_tensor(statistics, dtype=torch.float32, device="cpu").detach().flatten()
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise wrong(argument, statistics, wanted) from None
    if len(values) != channels or not values.isfinite().all():
        raise wrong(argument, statistics, wanted)
    return values.view(-1, 1, 1)


def is_number(value: Any) -> bool:
    """Whether something is a finite number, which can be drawn."""
    try:
        check_number("", value, -math.inf)
    except MergeMixError:
        return False
    return True


def check_named(argument: str, values: Any, wanted: str, fits: Callable[[Any], bool]) -> None:
    """Raises unless ``values`` is a dictionary, not empty, whose keys are names and whose values fit."""
    if not isinstance(values, Mapping) or not values or not all(isinstance(name, str) for name in values):
        raise wrong(argument, values, wanted)
    for name, value in values.items():
        if not fits(value):
            raise wrong(argument, value, wanted, part=f"[{name!r}]")


def show_image(axis: Any, image: Tensor, caption: str, **options: Any) -> None:
    """Draws an image (H, W, C) from 0 to 1."""
    axis.imshow(image.numpy(), cmap="gray" if image.shape[-1] == 1 else None, vmin=0, vmax=1, **options)
    frame(axis, caption)


def show_text(axis: Any, text: str) -> None:
    """Draws words in place of an image."""
    axis.text(0.5, 0.5, text, ha="center", va="center", fontsize=9, color="gray", transform=axis.transAxes)
    axis.set_box_aspect(1)
    frame(axis, "")


def frame(axis: Any, caption: str) -> None:
    """Removes the ticks, and sets a caption below."""
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_xlabel(caption, fontsize=8)


def label_lines(axis: Any, title: str, x: str, y: str = "") -> None:
    """Sets title, axis labels and grid of a plot."""
    axis.set_title(title, fontsize=10)
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    axis.grid(alpha=0.3)
