"""Training and its outcome as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import check_int, check_tensor, wrong
from ..metrics.calibration import binned_error, top_class
from ..mix.batch import MixedBatch
from .canvas import check_named, label_lines, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["binned_means", "confidence_by_ratio", "is_pair", "learning_curves", "reliability_diagram"]


def learning_curves(histories: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure:
    """Training loss and validation top-1 by epoch.

    Args:
        histories: For each run its records with ``epoch``, ``train_loss`` and ``val_top1``. If records have a
            ``soft_target``, it is drawn in place of ``train_loss``, which includes the preference, so that the
            curves of all runs are comparable. If they have only a ``preference``, the legend says that the loss
            includes it.

    Raises:
        MergeMixError: If there is no record, or matplotlib is not installed.
    """
    check_named("histories", histories, "records with epoch, train_loss and val_top1", _is_history)
    if not any(len(history) for history in histories.values()):
        raise wrong("histories", dict(histories), "at least one run with at least one epoch")
    figure = new_figure(9.0, 3.6)
    loss, top1 = figure.subplots(1, 2)
    for name, history in histories.items():
        epochs = [record["epoch"] for record in history]
        style: dict[str, Any] = {"marker": "o", "markersize": 3, "linewidth": 1.5}
        losses = [record.get("soft_target", record["train_loss"]) for record in history]
        loss.plot(epochs, losses, label=name + _included(history), **style)
        top1.plot(epochs, [100 * record["val_top1"] for record in history], label=name, **style)
    titles = "training loss (mixed images included)", "validation top-1 in % (on plain images)"
    for axis, title in zip((loss, top1), titles, strict=True):
        label_lines(axis, title, "epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend(fontsize=9)
    return figure


def reliability_diagram(runs: Mapping[str, tuple[Tensor, Tensor]], bins: int = 15) -> Figure:
    """Accuracy against confidence, and how many predictions are how confident.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017 (arXiv 1706.04599). Where bars stay below the
    diagonal, the model is overconfident; where they rise above it, underconfident.

    Args:
        runs: For each model (B, num_classes) probabilities and (B,) labels.
        bins: Number of bins of equal width.

    Raises:
        MergeMixError: If there is no run, shapes or values do not fit, or matplotlib is not installed.
    """
    check_int("bins", bins, 1)
    check_named("runs", runs, "at least one, with probabilities and labels", is_pair)
    figure = new_figure(0.6 + 3.1 * len(runs), 4.2)
    axes = figure.subplots(2, len(runs), squeeze=False, sharex=True, height_ratios=(3, 1))
    edges = torch.linspace(0, 1, bins + 1)
    for (name, (probs, labels)), upper, lower in zip(runs.items(), *axes, strict=True):
        confidence, correct = (values.cpu().float() for values in top_class(probs, labels))
        error = binned_error(confidence, correct, bins, "width", "l1").item()
        index = (torch.bucketize(confidence, edges, right=True) - 1).clamp_max(bins - 1)
        counts = index.bincount(minlength=bins)
        accuracy = index.bincount(correct, minlength=bins) / counts.clamp_min(1)
        style: dict[str, Any] = {"width": 1 / bins, "align": "edge", "edgecolor": "white", "linewidth": 0.5}
        upper.bar(edges[:-1].numpy(), accuracy.numpy(), color="tab:blue", **style)
        upper.plot([0, 1], [0, 1], color="tab:red", linewidth=1, linestyle="--")
        label_lines(upper, f"{name}\ncalibration error {100 * error:.1f} %", "", "accuracy")
        upper.set(xlim=(0, 1), ylim=(0, 1))
        lower.bar(edges[:-1].numpy(), (counts / len(labels)).numpy(), color="tab:gray", **style)
        label_lines(lower, "", "confidence", "share")
    return figure


def confidence_by_ratio(batch: MixedBatch, probs: Tensor, bins: int = 10) -> Figure:
    """A model's confidence in mixes: the probability of each image's class against that image's share.

    Args:
        batch: Mixes of images with one label each, as ``mix()`` returned them.
        probs: (B, num_classes) probabilities that a model gives to them.
        bins: Number of bins; each point of a line is the mean of one.

    Raises:
        MergeMixError: If the labels are not class numbers, shapes do not fit, or matplotlib is not installed.
    """
    check_int("bins", bins, 1)
    if not isinstance(batch, MixedBatch) or batch.labels.ndim != 1:
        raise wrong("batch", batch, "a MixedBatch of images with one label each")
    check_tensor("probs", probs, (len(batch), "C"), "float", like=batch.ratio)
    if int(batch.labels.max()) >= probs.shape[1]:
        raise wrong("probs", probs, f"columns for all classes, {int(batch.labels.max()) + 1} or more")
    figure = new_figure(4.6, 4.2)
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color="gray", linewidth=1, linestyle="--")
    differ = batch.labels != batch.labels[batch.index]
    sides = {"original": (batch.labels, batch.ratio), "partner": (batch.labels[batch.index], 1 - batch.ratio)}
    for (name, (labels, share)), colour in zip(sides.items(), ("tab:blue", "tab:orange"), strict=True):
        x = share[differ].cpu().float()
        y = probs.detach().gather(1, labels.unsqueeze(1)).squeeze(1)[differ].cpu().float()
        axis.plot(x.numpy(), y.numpy(), "o", color=colour, alpha=0.25, markersize=3)
        axis.plot(*binned_means(x, y, bins), color=colour, linewidth=2, label=f"class of the {name}")
    label_lines(axis, "mixes of two classes", "share of the image in the mix", "probability of its class")
    axis.set(xlim=(0, 1), ylim=(0, 1))
    axis.legend(fontsize=9)
    return figure


def _included(history: Sequence[Mapping[str, float]]) -> str:
    """What the legend says of a loss that is drawn for a run with a preference."""
    if any("soft_target" in record for record in history):
        return " (without the preference)"
    return " (preference included)" if any("preference" in record for record in history) else ""


def is_pair(run: Any) -> bool:
    """Whether something is a pair, neither part of which is a tensor on the meta device."""
    is_two = isinstance(run, (list, tuple)) and len(run) == 2
    return is_two and not any(isinstance(part, Tensor) and part.is_meta for part in run)


def _is_history(history: Any) -> bool:
    """Whether something is a list of records that can be drawn."""
    if not isinstance(history, (list, tuple)) or not all(isinstance(record, Mapping) for record in history):
        return False
    numbers = ("epoch", "train_loss", "val_top1")
    return all(isinstance(record.get(name), Real) for record in history for name in numbers)


def binned_means(x: Tensor, y: Tensor, bins: int) -> tuple[Any, Any]:
    """Means of ``x``, from 0 to 1, and of ``y`` over bins of ``x`` of equal width, without empty ones."""
    index = (x * bins).long().clamp(0, bins - 1)
    counts = index.bincount(minlength=bins)
    means = [index.bincount(values, minlength=bins)[counts > 0] / counts[counts > 0] for values in (x, y)]
    return means[0].numpy(), means[1].numpy()
