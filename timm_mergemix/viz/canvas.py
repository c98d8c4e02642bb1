"""What the pictures share: figures, and images as matplotlib wants them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import wrong
from ..optional import need

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["displayable", "frame", "label_lines", "new_figure", "show_image", "show_text"]


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches. One of its own draws on any machine and leaves pyplot's global state alone."""
    need("matplotlib.figure", "drawing", "viz")
    from .notebook import NotebookFigure

    return NotebookFigure(figsize=(width, height), dpi=110, layout="constrained")


def displayable(images: Tensor, mean: Sequence[float] | None, std: Sequence[float] | None) -> Tensor:
    """(B, H, W, C) float from 0 to 1, C 1 or 3.

    Args:
        images: (B, C, H, W), uint8 or float.
        mean: Mean per channel with which they were normalised; None if they were not.
        std: Deviation per channel, likewise.

    Raises:
        MergeMixError: If the statistics do not fit the channels.
    """
    values = images.detach().cpu()
    values = values.float() / 255 if values.dtype == torch.uint8 else values.float()
    channels = values.shape[1]
    for name, statistics in (("mean", mean), ("std", std)):
        if statistics is not None and len(statistics) != channels:
            raise wrong(name, statistics, f"{channels} numbers, one for each channel")
    if std is not None:
        values = values * values.new_tensor(std).view(-1, 1, 1)
    if mean is not None:
        values = values + values.new_tensor(mean).view(-1, 1, 1)
    values = values if channels in (1, 3) else values.mean(dim=1, keepdim=True)
    return values.clamp(0, 1).movedim(1, -1)


def show_image(axis: Any, image: Tensor, caption: str, **options: Any) -> None:
    """Draws an image (H, W, C) from 0 to 1."""
    axis.imshow(image.numpy(), cmap="gray" if image.shape[-1] == 1 else None, vmin=0, vmax=1, **options)
    frame(axis, caption)


def show_text(axis: Any, text: str) -> None:
    """Words in the place of an image."""
    axis.text(0.5, 0.5, text, ha="center", va="center", fontsize=9, color="gray", transform=axis.transAxes)
    axis.set_box_aspect(1)
    frame(axis, "")


def frame(axis: Any, caption: str) -> None:
    """No ticks, and a caption below."""
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_xlabel(caption, fontsize=8)


def label_lines(axis: Any, title: str, x: str, y: str = "") -> None:
    """Title, names and grid of a plot of lines or bars."""
    axis.set_title(title, fontsize=10)
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    axis.grid(alpha=0.3)
