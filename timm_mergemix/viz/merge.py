"""Token merging as a picture: which patches are one token after which block, and what that saves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..checks import check_images
from ..errors import check_int, wrong
from ..merge.attach import attach_view, planned
from ..merge.find.search import find_backbone
from ..merge.patch import record
from ..merge.schedule import R
from .canvas import check_named, displayable, is_number, label_lines, new_figure, show_image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["merge_grid", "schedule_plot"]


def merge_grid(
    model: nn.Module,
    images: Tensor,
    r: R | None = None,
    layers: Sequence[int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    rows: int = 6,
) -> Figure:
    """A row for each image: the image, and its tokens after some blocks, each in its mean colour and outlined.

    Args:
        model: A supported vision transformer, or a vision-language model; it is left as it is. Images of its size.
        images: (B, C, H, W), as the model wants them.
        r: Token merging, in any form that `timm_mergemix.patch` takes; None keeps the merging in force.
        layers: Indices of blocks, negative from the end; None takes four that are spread over the depth.
        mean: Mean per channel with which the images were normalised; None if they were not.
        std: Deviation per channel with which they were normalised; None if they were not.
        rows: The most rows to draw.

    Raises:
        MergeMixError: If the model is not supported, an argument does not fit, or matplotlib is not installed.
    """
    check_int("rows", rows, 1)
    check_images(images)
    images = images[:rows]
    grid, clusters, tokens = _clusters(model, images, r)
    shown = _spread(len(clusters)) if layers is None else _indices(layers, len(clusters))
    pixels = displayable(images, mean, std)
    figure = new_figure(0.4 + 1.75 * (len(shown) + 1), 0.6 + 1.85 * len(images))
    axes = figure.subplots(len(images), len(shown) + 1, squeeze=False)
    for axis, title in zip(axes[0], ["image", *(f"after block {i + 1}" for i in shown)], strict=True):
        axis.set_title(title, fontsize=10, pad=8)
    for row, (first, *others) in enumerate(axes):
        show_image(first, pixels[row], f"{grid[0]} x {grid[1]} patches")
        for axis, layer in zip(others, shown, strict=True):
            found = clusters[layer][row].view(grid)
            show_image(axis, _mean_colours(pixels[row], found), f"{tokens[layer][row]} patch tokens")
            _outline(axis, found, *pixels[row].shape[:2])
    return figure


def schedule_plot(tokens: Mapping[str, Sequence[int]], seconds: Mapping[str, float] | None = None) -> Figure:
    """Tokens after each block, and the time of a batch.

    Args:
        tokens: For each setting the number of tokens that enter the first block and leave each block, as
            ``merge_info(model).tokens`` has them.
        seconds: For each setting the time of a forward pass; the first is what the others are compared with.

    Raises:
        MergeMixError: If there is nothing to draw, or matplotlib is not installed.
    """
    check_named("tokens", tokens, "at least one setting with its numbers of tokens", _is_counts)
    if seconds is not None:
        check_named("seconds", seconds, "a time > 0 for each setting", _is_time)
    figure = new_figure(9.0 if seconds else 5.0, 3.6)
    axes = figure.subplots(1, 2 if seconds else 1, squeeze=False)[0]
    for name, counts in tokens.items():
        axes[0].step(range(len(counts)), counts, where="mid", label=name, linewidth=1.5)
    label_lines(axes[0], "tokens", "block (0: before the first)")
    axes[0].set_ylim(bottom=0)
    axes[0].legend(fontsize=9)
    if seconds:
        base = next(iter(seconds.values()))
        bars = axes[1].barh(list(seconds), [1000 * value for value in seconds.values()], color="tab:blue", alpha=0.7)
        axes[1].bar_label(bars, [f"{value / base:.2f}" for value in seconds.values()], padding=3, fontsize=9)
        axes[1].margins(x=0.15)
        axes[1].invert_yaxis()
        label_lines(axes[1], "time of a batch, and relative to the first", "ms")
    return figure


def _clusters(model: nn.Module, images: Tensor, r: R | None) -> tuple[tuple[int, int], list[Tensor], list[list[int]]]:
    """Rows and columns of patches; for each block (B, patches) the token of each patch, and (B) how many there are."""
    backbone = find_backbone(model)
    backbone.check_images(images)
    if images.is_meta:
        raise wrong("images", images, "images that have values")
    view = backbone.view()
    attach_view(view, planned(backbone, r=r))
    with torch.no_grad(), record(view.model, attention=False) as kept:
        view.run(images)
    grid = backbone.grid_size(*images.shape[-2:])
    clusters = [layer.source[:, -grid[0] * grid[1] :].cpu() for layer in kept.layers]
    return grid, clusters, [[len(row.unique()) for row in source] for source in clusters]


def _is_counts(counts: Any) -> bool:
    whole = isinstance(counts, (list, tuple)) and len(counts) > 0
    return whole and all(isinstance(count, Integral) and is_number(count) and int(count) >= 0 for count in counts)


def _is_time(seconds: Any) -> bool:
    return is_number(seconds) and seconds > 0


def _spread(depth: int) -> list[int]:
    """Up to four blocks, the last one among them."""
    return sorted({round(depth * part / 4) - 1 for part in (1, 2, 3, 4)} - {-1})


def _indices(layers: Sequence[Any], depth: int) -> list[int]:
    try:
        layers = list(layers)
    except TypeError:
        raise wrong("layers", layers, f"indices from {-depth} to {depth - 1}") from None
    if not layers:
        raise wrong("layers", layers, "at least one block")
    for layer in layers:
        if isinstance(layer, bool) or not isinstance(layer, Integral) or not -depth <= int(layer) < depth:
            raise wrong("layers", list(layers), f"indices from {-depth} to {depth - 1}")
    return [int(layer) % depth for layer in layers]


def _mean_colours(image: Tensor, clusters: Tensor) -> Tensor:
    """An image (H, W, C) in which each pixel has the mean colour of its token."""
    height, width = image.shape[:2]
    rows, columns = clusters.shape
    y, x = torch.arange(height) * rows // height, torch.arange(width) * columns // width
    owner = clusters[y][:, x].flatten().unique(return_inverse=True)[1]
    colours = image.reshape(height * width, -1)
    sums = colours.new_zeros(int(owner.max()) + 1, colours.shape[1]).index_add_(0, owner, colours)
    return (sums / owner.bincount().unsqueeze(1))[owner].view(image.shape)


def _outline(axis: Any, clusters: Tensor, height: int, width: int) -> None:
    """Lines between neighbouring patches of different tokens."""
    from matplotlib.collections import LineCollection

    rows, columns = clusters.shape
    tall, wide = height / rows, width / columns
    lines = []
    for row, column in (clusters[:, 1:] != clusters[:, :-1]).nonzero().tolist():
        x = (column + 1) * wide - 0.5
        lines.append([(x, row * tall - 0.5), (x, (row + 1) * tall - 0.5)])
    for row, column in (clusters[1:] != clusters[:-1]).nonzero().tolist():
        y = (row + 1) * tall - 0.5
        lines.append([(column * wide - 0.5, y), ((column + 1) * wide - 0.5, y)])
    axis.add_collection(LineCollection(lines, colors="white", linewidths=0.6))
