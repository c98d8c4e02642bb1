"""One short table for all tasks: a row for each method that matters most."""

from __future__ import annotations

from collections.abc import Sequence

from timm_mergemix.cli.report import markdown_table

from ..records import Record
from .arms import find_arm
from .groups import Group, group_records
from .results import spread

__all__ = ["MEASURES", "METHODS", "TASKS", "summary"]

# Heading of a column by task, in the order of the columns.
TASKS = {
    "fashion": "Fashion-MNIST, 500 images",
    "mnist": "MNIST, 250 images",
    "dinov2": "DINOv2 fine-tuned, 1,000 images",
    "dinov2-few": "DINOv2 fine-tuned, 200 images",
}
METHODS = ("none", "mixup", "cutmix", "timm", "mergemix-mixup", "random-mixup", "mergemix", "preference")
MEASURES = {"top-1": "top1", "calibration error": "ece"}
# The recipes, which differ in the ratio of a fine-tuning.
RATIO = {"dinov2": "attention", "dinov2-few": "attention"}


def summary(records: Sequence[Record], measure: str) -> str:
    """A table in Markdown: methods x tasks at equal epochs, mean and standard deviation over seeds.

    Args:
        records: Of trials that read the test images.
        measure: One of ``MEASURES``.
    """
    groups = group_records(records, "test")
    tasks = [task for task in TASKS if any(group[0] == task for group in groups)]
    rows = []
    for method in METHODS:
        cells = [_cell(groups, task, method, MEASURES[measure]) for task in tasks]
        if any(cells):
            rows.append([find_arm(method).title, *cells])
    return markdown_table([f"{measure}, %", *(TASKS[task] for task in tasks)], rows)


def _cell(groups: dict[Group, list[Record]], task: str, method: str, name: str) -> str:
    """What the recipe gave; empty where a method was not run at equal epochs."""
    ratio = RATIO.get(task) if method == "mergemix-mixup" else None
    for (own_task, own_method, options, _), records in groups.items():
        given = dict(options)
        at_equal_epochs = "epochs" not in given and "select" not in given
        if (own_task, own_method, given.get("ratio_mode")) == (task, method, ratio) and at_equal_epochs:
            return spread([record["test"][name] for record in records], True)
    return ""
