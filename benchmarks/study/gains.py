"""Whether a better choice of patches, or a more correct target, gains accuracy: methods of one task against others."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Sequence
from typing import Any

from timm_mergemix.cli.report import markdown_table
from timm_mergemix.errors import need

from ..records import Record
from .arms import find_arm
from .groups import group_records, shared_options, title_of
from .paired import differences, half_width, with_interval
from .picture import LABEL, color_of
from .results import spread
from .tasks import find_task

__all__ = ["REFERENCES", "draw_gains", "gains_table"]

# Methods with which each one is compared, seed by seed.
REFERENCES = ("none", "cutmix", "random-patches")
# Heading of a column by the measure of the test images, in per cent.
OTHERS = {"ece": "calibration error", "ground swapped": "ground swapped", "salient patches hidden": "patches hidden"}
# Inches of the picture, so that letters of 10 points can be read where a page shows it 800 pixels wide.
WIDTH, ROW, FRAME = 8.0, 0.45, 1.3


def gains_table(records: Sequence[Record], task: str) -> str:
    """A table in Markdown: top-1 of each method, its gains over ``REFERENCES`` with 95 % intervals, and more measures.

    Args:
        records: Of trials that read the test images.
        task: Name of a task.
    """
    named = _by_title(records, task)
    rows = []
    for title, own in named.items():
        gains = [_gain(own, named.get(find_arm(reference).title, [])) for reference in REFERENCES]
        others = [spread([record["test"][name] for record in own], True) for name in OTHERS]
        rows.append([title, str(len(own)), spread([record["test"]["top1"] for record in own], True), *gains, *others])
    over = [f"over {find_arm(reference).title.removeprefix('control: ')}" for reference in REFERENCES]
    return markdown_table(["mixing", "seeds", "top-1", *over, *OTHERS.values()], rows)


def draw_gains(records: Sequence[Record], task: str) -> Any:
    """A matplotlib figure: the gain in top-1 of each method over no mixing, its 95 % interval, and a dot per seed."""
    need("matplotlib", "the plot", "viz")
    from matplotlib.figure import Figure

    named = _by_title(records, task)
    base = named.pop(find_arm("none").title)
    figure = Figure(figsize=(WIDTH, FRAME + ROW * len(named)), layout="constrained")
    axis = figure.subplots()
    for y, own in enumerate(reversed(named.values())):
        values, color = differences(own, base, "test"), color_of(own[0]["trial"]["method"])
        mean, half = statistics.mean(values), half_width(values)
        axis.errorbar(mean, y, xerr=half, fmt="|", color=color, markersize=14, markeredgewidth=2, capsize=4)
        axis.plot(values, [y] * len(values), "o", color=color, alpha=0.4, markersize=5)
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set_yticks(range(len(named)), [textwrap.fill(name, LABEL) for name in reversed(named)], fontsize=10)
    axis.set_xlabel("top-1 over no mixing, in points; dots: seeds, bars: 95 %", fontsize=10)
    axis.set_title(find_task(task).title, fontsize=11, loc="left")
    axis.grid(axis="x", linewidth=0.3)
    return figure


def _by_title(records: Sequence[Record], task: str) -> dict[str, list[Record]]:
    """Records of a task by the name of their method and its options."""
    groups = group_records([record for record in records if record["trial"]["task"] == task], "test")
    shared = shared_options(groups)
    return {title_of(group, shared): own for group, own in groups.items()}


def _gain(own: Sequence[Record], base: Sequence[Record]) -> str:
    """The mean gain and its interval; empty for the reference itself."""
    values = [] if own is base else differences(own, base, "test")
    if not values:
        return ""
    mean, interval = with_interval(values)
    return f"{mean} ({interval})" if interval else mean
