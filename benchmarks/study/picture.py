"""Draws a picture of the records of trials."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from timm_mergemix.errors import need

from .arms import find_arm
from .groups import Group, group_records, shared_options, title_of
from .tasks import find_task

__all__ = ["draw"]


def draw(records: Sequence[dict[str, Any]], split: str) -> Any:
    """A matplotlib figure of top-1 and calibration error of each method per task, with one dot per seed."""
    need("matplotlib", "the plot", "viz")
    from matplotlib.figure import Figure

    groups = group_records(records, split)
    tasks = list(dict.fromkeys(group[0] for group in groups))
    rows = [sum(group[0] == task for group in groups) for task in tasks]
    heights = [0.4 + 0.32 * count for count in rows]
    figure = Figure(figsize=(13, sum(heights) + 0.8 * len(tasks)), layout="constrained")
    axes = figure.subplots(len(tasks), 2, squeeze=False, gridspec_kw={"height_ratios": heights})
    for task, (left, right) in zip(tasks, axes, strict=True):
        own = {group: lines for group, lines in reversed(groups.items()) if group[0] == task}
        epochs = statistics.mode(lines[0]["epochs"] for lines in own.values())
        shared = shared_options(own)
        common = [*(f"{name} {value}" for name, value in shared), f"{epochs} epochs"]
        left.set_title("; ".join([find_task(task).title, *common]), fontsize=10, loc="left")
        for axis, name, label in ((left, "top1", "top-1, %"), (right, "ece", "calibration error, %")):
            for y, (group, lines) in enumerate(own.items()):
                values, color = [100 * line[split][name] for line in lines], _color(group)
                axis.plot(values, [y] * len(values), "o", color=color, alpha=0.4, markersize=4)
                axis.plot(statistics.mean(values), y, "|", color=color, markersize=16)
            axis.set_xlabel(f"{label}; a dot for each seed, a bar for their mean")
            axis.grid(axis="x", linewidth=0.3)
        names = [
            title_of(group, shared) + (f", {lines[0]['epochs']} epochs" if lines[0]["epochs"] != epochs else "")
            for group, lines in own.items()
        ]
        left.set_yticks(range(len(own)), names, fontsize=9)
        right.set_yticks(range(len(own)), [""] * len(own))
    return figure


def _color(group: Group) -> str:
    """A colour for this library's methods, one for the controls, and one for the others."""
    method = find_arm(group[1])
    if method.title.startswith("control"):
        return "tab:gray"
    return "tab:orange" if method.title.startswith("MergeMix") else "tab:blue"
