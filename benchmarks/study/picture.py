"""Draws a picture of the records of trials."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Sequence
from typing import Any

from timm_mergemix.errors import need

from .arms import find_arm
from .groups import Group, group_records, shared_options, title_of
from .tasks import find_task

__all__ = ["LABEL", "color_of", "draw"]

# Inches of the picture, so that letters of 10 points can be read where a page shows it 800 pixels wide.
WIDTH, ROW, FRAME = 8.0, 0.4, 1.2
# Characters of a label in a line.
LABEL, TITLE = 30, 84


def draw(records: Sequence[dict[str, Any]], split: str) -> Any:
    """A matplotlib figure of top-1 and calibration error of each method per task, with one dot per seed."""
    need("matplotlib", "the plot", "viz")
    from matplotlib.figure import Figure

    groups = group_records(records, split)
    tasks = list(dict.fromkeys(group[0] for group in groups))
    heights = [FRAME + ROW * sum(group[0] == task for group in groups) for task in tasks]
    figure = Figure(figsize=(WIDTH, sum(heights) or 1.0), layout="constrained")
    parts = figure.subfigures(len(tasks), 1, squeeze=False, height_ratios=heights).flat if tasks else ()
    for task, part in zip(tasks, parts, strict=True):
        own = {group: lines for group, lines in reversed(groups.items()) if group[0] == task}
        _draw_task(part, find_task(task).title, own, split)
    return figure


def _draw_task(figure: Any, title: str, own: dict[Group, list[dict[str, Any]]], split: str) -> None:
    left, right = figure.subplots(1, 2)
    epochs = statistics.mode(lines[0]["epochs"] for lines in own.values())
    shared = shared_options(own)
    common = [*(f"{name} {value}" for name, value in shared), f"{epochs} epochs"]
    heading = [*textwrap.wrap(title, TITLE), "; ".join([*common, "dots: seeds, bar: mean"])]
    figure.suptitle("\n".join(heading), fontsize=11)
    for axis, name, label in ((left, "top1", "top-1, %"), (right, "ece", "calibration error, %")):
        for y, (group, lines) in enumerate(own.items()):
            values, color = [100 * line[split][name] for line in lines], color_of(group[1])
            axis.plot(values, [y] * len(values), "o", color=color, alpha=0.4, markersize=5)
            axis.plot(statistics.mean(values), y, "|", color=color, markersize=16, markeredgewidth=2)
        axis.set_xlabel(label, fontsize=10)
        axis.grid(axis="x", linewidth=0.3)
    names = [
        title_of(group, shared) + (f", {lines[0]['epochs']} epochs" if lines[0]["epochs"] != epochs else "")
        for group, lines in own.items()
    ]
    left.set_yticks(range(len(own)), [textwrap.fill(name, LABEL) for name in names], fontsize=10)
    right.set_yticks(range(len(own)), [""] * len(own))


def color_of(method: str) -> str:
    """A colour for this library, one for controls, one for mixes that know the objects, and one for all others."""
    title = find_arm(method).title
    if title.startswith("control"):
        return "tab:gray"
    if title.startswith("oracle"):
        return "tab:green"
    return "tab:orange" if title.startswith("MergeMix") else "tab:blue"
