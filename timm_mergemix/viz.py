"""Pictures of mixes and of training runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .errors import check_int, wrong
from .mix.batch import MixedBatch
from .optional import need

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["learning_curves", "mix_grid"]

_COLUMNS = ("original", "partner", "recovered attention\nof the original (root)", "mask\n(white: original)", "mix")


def mix_grid(
    batch: MixedBatch,
    class_names: Sequence[str] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    rows: int = 6,
) -> Figure:
    """A row for each mix: original, partner, recovered attention, mask, and the mix with its target.

    Args:
        batch: What ``MergeMix.mix`` returned.
        class_names: Names of the classes; their numbers if None.
        mean: Mean per channel with which the images were normalised; None if they were not.
        std: Deviation per channel, likewise.
        rows: Most rows to draw.

    Raises:
        MergeMixError: If ``rows`` or the statistics do not fit, or matplotlib is not installed.
    """
    check_int("rows", rows, 1)
    if not isinstance(batch, MixedBatch):
        raise wrong("batch", batch, "the MixedBatch that a mixer's mix() returns")
    rows = min(rows, len(batch))
    mixes, raw = (_displayable(images, mean, std) for images in (batch.images[:rows], batch.raw))
    figure = _figure(8.6, 0.6 + 1.75 * rows)
    axes = figure.subplots(rows, len(_COLUMNS), squeeze=False)
    for title, axis in zip(_COLUMNS, axes[0], strict=True):
        axis.set_title(title, fontsize=10, pad=8)
    for row, (original, partner, attention, mask, mixed) in enumerate(axes):
        other = int(batch.index[row])
        own_name, other_name = (_label(batch.labels[i], class_names) for i in (row, other))
        _image(original, raw[row], own_name)
        _image(partner, raw[other], other_name)
        _attention(attention, batch, row)
        _mask(mask, batch, row)
        _image(mixed, mixes[row], _target(float(batch.ratio[row]), own_name, other_name))
    return figure


def learning_curves(histories: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure:
    """Training loss and validation top-1 by epoch.

    Args:
        histories: For each run its records with ``epoch``, ``train_loss`` and ``val_top1``. Where there is a
            ``soft_target``, it is drawn in place of a loss that has a preference in it, so that runs compare.

    Raises:
        MergeMixError: If there is no record, or matplotlib is not installed.
    """
    if not any(len(history) for history in histories.values()):
        raise wrong("histories", dict(histories), "at least one run with at least one epoch")
    figure = _figure(9.0, 3.6)
    loss, top1 = figure.subplots(1, 2)
    for name, history in histories.items():
        epochs = [record["epoch"] for record in history]
        style: dict[str, Any] = {"label": name, "marker": "o", "markersize": 3, "linewidth": 1.5}
        loss.plot(epochs, [record.get("soft_target", record["train_loss"]) for record in history], **style)
        top1.plot(epochs, [100 * record["val_top1"] for record in history], **style)
    titles = "soft-target loss in training (on mixed images)", "validation top-1 in % (on plain images)"
    for axis, title in zip((loss, top1), titles, strict=True):
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=9)
    return figure


def _figure(width: float, height: float) -> Figure:
    # A Figure of its own draws on any machine and leaves pyplot's global state alone.
    module = need("matplotlib.figure", "drawing")
    return module.Figure(figsize=(width, height), dpi=110, layout="constrained")


def _displayable(images: Tensor, mean: Sequence[float] | None, std: Sequence[float] | None) -> Tensor:
    """(B, H, W, C) float from 0 to 1, C 1 or 3."""
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


def _label(label: Tensor, class_names: Sequence[str] | None) -> str:
    numbers = label.nonzero().flatten().tolist() if label.ndim else [int(label)]
    names = [str(n) if class_names is None or n >= len(class_names) else class_names[n] for n in numbers]
    return ", ".join(names)


def _target(ratio: float, own: str, partner: str) -> str:
    return f"{ratio:.2f} {own}\n+ {1 - ratio:.2f} {partner}"


def _image(axis: Any, image: Tensor, caption: str) -> None:
    axis.imshow(image.numpy(), cmap="gray" if image.shape[-1] == 1 else None, vmin=0, vmax=1)
    _frame(axis, caption)


def _attention(axis: Any, batch: MixedBatch, row: int) -> None:
    if batch.saliency is None or not bool(batch.saliency[row].any()):
        _nothing(axis, "not used")
        return
    # The root, since few patches may hold most of the attention; the extent of the image, to see patches in place.
    height, width = batch.raw.shape[-2:]
    values = batch.saliency[row].detach().float().cpu().numpy()
    axis.imshow(values**0.5, cmap="magma", vmin=0, extent=(0, width, height, 0), interpolation="nearest")
    _frame(axis, f"{values.shape[0]} x {values.shape[1]} patches")


def _mask(axis: Any, batch: MixedBatch, row: int) -> None:
    if batch.mask is None or batch.kind[row] in ("none", "mixup"):
        _nothing(axis, batch.kind[row])
        return
    mask = batch.mask[row, 0].float().cpu()
    axis.imshow(mask.numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    _frame(axis, f"{100 * mask.mean().item():.0f} % of the pixels")


def _nothing(axis: Any, text: str) -> None:
    axis.text(0.5, 0.5, text, ha="center", va="center", fontsize=9, color="gray", transform=axis.transAxes)
    axis.set_box_aspect(1)
    _frame(axis, "")


def _frame(axis: Any, caption: str) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_xlabel(caption, fontsize=8)
