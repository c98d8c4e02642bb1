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
from .groups import Group, group_records, shared_options, title_of
from .paired import differences, half_width, shown_gain
from .picture import LABEL, color_of
from .questions import Question, time_of
from .results import spread
from .tasks import find_task

__all__ = ["draw_gains", "gains_table"]

# Heading of a column by the measure of the test images, in per cent.
OTHERS = {"ece": "calibration error", "ground swapped": "ground swapped", "salient patches hidden": "patches hidden"}
# Inches of the picture, so that letters of 10 points can be read where a page shows it 800 pixels wide.
WIDTH, ROW, FRAME = 8.0, 0.45, 1.3

Groups = dict[Group, list[Record]]


def gains_table(records: Sequence[Record], question: Question, costs: Sequence[Record] = ()) -> str:
    """A table in Markdown: top-1 of each method, its gains over the references with 95 % intervals, and more measures.

    Args:
        records: Of trials that read the test images.
        question: Which of them, and the references.
        costs: The records of the time of a step. If all methods have one, a column has the time of each training.
    """
    groups = _groups(records, question)
    others = {name: title for name, title in OTHERS.items() if all(name in own[0]["test"] for own in groups.values())}
    times = {group: time_of(group, own, costs) for group, own in groups.items()}
    timed = ["time"] if costs and None not in times.values() else []
    rows = []
    for group, own in groups.items():
        gains = [shown_gain(own, _reference(groups, method, own)) for method in question.references]
        measures = [spread([record["test"][name] for record in own], True) for name in others]
        time = [f"{times[group]:.0f}"] if timed else []
        top1 = spread([record["test"]["top1"] for record in own], True)
        rows.append([_title(group, groups), str(len(own)), *time, top1, *gains, *measures])
    over = [f"over {find_arm(method).title.removeprefix('control: ')}" for method in question.references]
    return markdown_table(["mixing", "seeds", *timed, "top-1", *over, *others.values()], rows)


def draw_gains(records: Sequence[Record], question: Question) -> Any:
    """A matplotlib figure: gains in top-1 over the first reference, their 95 % intervals, and a dot for each seed.

    Methods with fewer seeds than the reference are in the table only: their intervals would hide all others.
    """
    need("matplotlib", "the plot", "viz")
    from matplotlib.figure import Figure

    groups, reference = _groups(records, question), question.references[0]
    base = _first(groups, reference)
    shown = {_title(group, groups): own for group, own in groups.items() if own is not base and len(own) >= len(base)}
    figure = Figure(figsize=(WIDTH, FRAME + ROW * len(shown)), layout="constrained")
    axis = figure.subplots()
    for y, own in enumerate(reversed(shown.values())):
        values, color = differences(own, base, "test"), color_of(own[0]["trial"]["method"])
        mean, half = statistics.mean(values), half_width(values)
        axis.errorbar(mean, y, xerr=half, fmt="|", color=color, markersize=14, markeredgewidth=2, capsize=4)
        axis.plot(values, [y] * len(values), "o", color=color, alpha=0.4, markersize=5)
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set_yticks(range(len(shown)), [textwrap.fill(name, LABEL) for name in reversed(shown)], fontsize=10)
    axis.set_xlabel(f"top-1 over {find_arm(reference).title}, in points; dots: seeds, bars: 95 %", fontsize=10)
    axis.set_title(find_task(question.task).title, fontsize=11, loc="left")
    axis.grid(axis="x", linewidth=0.3)
    return figure


def _groups(records: Sequence[Record], question: Question) -> Groups:
    return group_records([record for record in records if record["trial"]["task"] == question.task], "test")


def _title(group: Group, groups: Groups) -> str:
    """The method and its options, with its epochs where not all have as many."""
    epochs = {own[0]["epochs"] for own in groups.values()}
    more = f", {groups[group][0]['epochs']} epochs" if len(epochs) > 1 else ""
    return title_of(group, shared_options(groups)) + more


def _first(groups: Groups, method: str) -> list[Record]:
    """The trials of a method; of several groups, the first one, which has the epochs of the task."""
    return next((own for group, own in groups.items() if group[1] == method), [])


def _reference(groups: Groups, method: str, records: Sequence[Record]) -> list[Record]:
    """The trials of a method whose number of epochs is nearest to that of others."""
    found = [own for group, own in groups.items() if group[1] == method]
    return min(found, key=lambda own: abs(own[0]["epochs"] - records[0]["epochs"]), default=[])
