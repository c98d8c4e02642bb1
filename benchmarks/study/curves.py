"""Accuracy against time as a picture."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from timm_mergemix.errors import need

from ..records import Record
from .groups import Group, group_records, shared_options, title_of
from .questions import time_of
from .tasks import find_task

__all__ = ["draw_curves", "learning_curve", "minutes_of"]

SMOOTHED = 3  # epochs of which a point is the mean


def draw_curves(records: Sequence[Record], split: str, costs: Sequence[Record] = ()) -> Any:
    """A matplotlib figure: for each task the validation top-1 of each method against the time of training.

    Args:
        records: Of a sweep; those without a curve are left out.
        split: See `group_records`.
        costs: The records of the time of a step. Where all methods of a task have one, the time is that of epochs of
            Mixup + CutMix, which other load on the machine does not change; else it is that of the clock.
    """
    need("matplotlib", "the plot", "viz")
    from matplotlib.figure import Figure

    groups = group_records([record for record in records if record.get("curve")], split)
    tasks = list(dict.fromkeys(group[0] for group in groups))
    figure = Figure(figsize=(9, 4.5 * max(1, len(tasks))), layout="constrained")
    axes = figure.subplots(max(1, len(tasks)), 1, squeeze=False)[:, 0]
    for task, axis in zip(tasks, axes, strict=False):
        own: dict[Group, list[Record]] = {group: lines for group, lines in groups.items() if group[0] == task}
        shared = shared_options(own)
        times = {group: time_of(group, lines, costs) for group, lines in own.items()}
        measured = bool(costs) and None not in times.values()
        for group, lines in own.items():
            each = (times[group] or 0.0) / lines[0]["epochs"] if measured else minutes_of(lines)
            top1 = learning_curve(lines)
            label = f"{title_of(group, shared)}, {lines[0]['epochs']} epochs"
            axis.plot([each * (epoch + 1) for epoch in range(len(top1))], top1, label=label, linewidth=1.2)
        axis.set_title(find_task(task).title, fontsize=10, loc="left")
        axis.set_xlabel("time of training, in epochs of Mixup + CutMix" if measured else "minutes of training")
        axis.set_ylabel(f"validation top-1, %, mean of seeds and of {SMOOTHED} epochs")
        axis.grid(linewidth=0.3)
        axis.legend(fontsize=8)
    return figure


def minutes_of(records: Sequence[Record]) -> float:
    """Minutes of an epoch: the median over all epochs, since what else the machine does lengthens some.

    Args:
        records: With ``"curve"``, the seconds of each epoch and the top-1 after it.
    """
    return statistics.median(seconds for record in records for seconds, _ in record["curve"]) / 60


def learning_curve(records: Sequence[Record]) -> list[float]:
    """Top-1 in per cent after each epoch, of trials that differ in their seed alone. Arguments as for `minutes_of`."""
    epochs = min(len(record["curve"]) for record in records)
    means = [100 * statistics.mean(record["curve"][epoch][1] for record in records) for epoch in range(epochs)]
    return [statistics.mean(means[max(0, epoch + 1 - SMOOTHED) : epoch + 1]) for epoch in range(epochs)]
