"""A batch of mixes as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ..errors import check_int, wrong
from ..mix.batch import MixedBatch
from .canvas import displayable, frame, new_figure, show_image, show_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["mix_grid"]

_COLUMNS = (
    "original",
    "partner",
    "saliency of the original\n(dark: low, bright: high)",
    "mask\n(white: original)",
    "mix",
)


def mix_grid(
    batch: MixedBatch,
    class_names: Sequence[str] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    rows: int = 6,
) -> Figure:
    """A row for each mix: original, partner, recovered attention, mask, and the mix with its target.

    The colours of an attention map range from its lowest to its highest value, on a square-root scale. The caption
    gives both values as multiples of the mean. If they are close, the model attends to all patches alike, as a model
    does that has hardly been trained.

    Args:
        batch: What ``MergeMix.mix`` returned.
        class_names: Names of the classes; their numbers if None.
        mean: Mean per channel with which the images were normalised; None if they were not.
        std: Deviation per channel with which they were normalised; None if they were not.
        rows: The most rows to draw.

    Raises:
        MergeMixError: If ``rows`` or the statistics do not fit, or matplotlib is not installed.
    """
    check_int("rows", rows, 1)
    if not isinstance(batch, MixedBatch):
        raise wrong("batch", batch, "the MixedBatch that a mixer's mix() returns")
    is_list = isinstance(class_names, (list, tuple)) and all(isinstance(name, str) for name in class_names)
    if class_names is not None and not is_list:
        raise wrong("class_names", class_names, "a list of names, or None")
    rows = min(rows, len(batch))
    mixes, raw = (displayable(images, mean, std) for images in (batch.images[:rows], batch.raw))
    figure = new_figure(8.6, 0.6 + 1.75 * rows)
    axes = figure.subplots(rows, len(_COLUMNS), squeeze=False)
    for title, axis in zip(_COLUMNS, axes[0], strict=True):
        axis.set_title(title, fontsize=10, pad=8)
    for row, (original, partner, attention, mask, mixed) in enumerate(axes):
        other = int(batch.index[row])
        own_name, other_name = (_label(batch.labels[i], class_names) for i in (row, other))
        show_image(original, raw[row], own_name)
        show_image(partner, raw[other], other_name)
        _attention(attention, batch, row)
        _mask(mask, batch, row)
        show_image(mixed, mixes[row], _target(float(batch.ratio[row]), own_name, other_name))
    return figure


def _label(label: Tensor, class_names: Sequence[str] | None) -> str:
    numbers = label.nonzero().flatten().tolist() if label.ndim else [int(label)]
    names = [str(n) if class_names is None or n >= len(class_names) else class_names[n] for n in numbers]
    return ", ".join(names)


def _target(ratio: float, own: str, partner: str) -> str:
    return f"{ratio:.2f} {own}\n+ {1 - ratio:.2f} {partner}"


def _attention(axis: Any, batch: MixedBatch, row: int) -> None:
    if batch.saliency is None or not bool(batch.saliency[row].any()):
        show_text(axis, "not used")
        return
    # The root, since few patches may hold most of the attention. From the lowest to the highest value, as the attention
    # of a young model differs little. The extent of the image, to see patches in place.
    height, width = batch.raw.shape[-2:]
    values = batch.saliency[row].detach().float().cpu()
    axis.imshow(values.sqrt().numpy(), cmap="magma", extent=(0, width, height, 0), interpolation="nearest")
    least, most = (values.aminmax()[i].item() / values.mean().item() for i in (0, 1))
    frame(axis, f"{values.shape[0]} x {values.shape[1]} patches,\n{least:.2f} to {most:.2f} times the mean")


def _mask(axis: Any, batch: MixedBatch, row: int) -> None:
    if batch.mask is None or batch.kind[row] in ("none", "mixup"):
        show_text(axis, batch.kind[row])
        return
    mask = batch.mask[row, 0].float().cpu()
    axis.imshow(mask.numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    frame(axis, f"{100 * mask.mean().item():.0f} % of the pixels")
