"""Short tables for all tasks: methods at equal epochs, and the recipe against the best of the others."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from timm_mergemix.cli.report import markdown_table
from timm_mergemix.mix.config import find_recipe

from ..records import Record
from .arms import find_arm
from .groups import Group, group_records
from .paired import shown_gain
from .results import spread

__all__ = ["MEASURES", "METHODS", "TASKS", "recipe_table", "summary"]

# Heading of a column by task, in the order of the columns.
TASKS = {
    "fashion": "Fashion-MNIST, 500 images",
    "mnist": "MNIST, 250 images",
    "openclipart-scratch": "drawings, 816 images",
    "dinov2": "DINOv2 fine-tuned, 1,000 images",
    "dinov2-few": "DINOv2 fine-tuned, 200 images",
}
# Of those that fine-tune; the others train from scratch.
FINE_TUNED = ("dinov2", "dinov2-few")
METHODS = ("none", "mixup", "cutmix", "timm", "mergemix-mixup", "random-mixup", "mergemix", "preference")
MEASURES = {"top-1": "top1", "calibration error": "ece"}
RECIPE, RIVALS, CONTROLS = "mergemix-mixup", ("none", "mixup", "cutmix", "timm"), ("random-mixup", "random-patches")


def summary(records: Sequence[Record], measure: str) -> str:
    """A table in Markdown: methods x tasks at equal epochs, mean and standard deviation over seeds.

    Args:
        records: Of trials that read the test images.
        measure: One of ``MEASURES``.
    """
    groups = group_records(records, "test")
    tasks, name, rows = _tasks(groups), MEASURES[measure], []
    for method in METHODS:
        found = [_trials(groups, task, method) for task in tasks]
        if any(found):
            cells = [spread([record["test"][name] for record in own], True) if own else "" for own in found]
            rows.append([find_arm(method).title, *cells])
    return markdown_table([f"{measure}, %", *(TASKS[task] for task in tasks)], rows)


def recipe_table(records: Sequence[Record]) -> str:
    """A table in Markdown: the recipe on each task, its gains over the best rival and over controls, paired by seed.

    Args:
        records: Of trials that read the test images. The best rival is the one with the best mean on validation images.
    """
    groups, rows = group_records(records, "test"), []
    for task in _tasks(groups):
        own = _trials(groups, task, RECIPE)
        rivals = [found for method in RIVALS if (found := _trials(groups, task, method))]
        if own and rivals:
            best = max(rivals, key=lambda found: statistics.mean(record["val"]["top1"] for record in found))
            gains = [shown_gain(own, base) for base in (best, *(_trials(groups, task, method) for method in CONTROLS))]
            top1 = spread([record["test"]["top1"] for record in own], True)
            rows.append([TASKS[task], top1, find_arm(best[0]["trial"]["method"]).title, *gains])
    over = [f"over {find_arm(method).title.removeprefix('control: ')}" for method in CONTROLS]
    return markdown_table(["task", "the recipe's top-1", "best of the others", "over it", *over], rows)


def _tasks(groups: dict[Group, list[Record]]) -> list[str]:
    return [task for task in TASKS if any(group[0] == task for group in groups)]


def _trials(groups: dict[Group, list[Record]], task: str, method: str) -> list[Record]:
    """The trials of a method at equal epochs; of the recipe, those with its ratio. Empty if there are none."""
    kind = "finetune" if task in FINE_TUNED else "scratch"
    ratio = find_recipe(kind).get("ratio_mode") if method == RECIPE else None
    for (own_task, own_method, options, _), records in groups.items():
        given = dict(options)
        at_equal_epochs = "epochs" not in given and "select" not in given
        if (own_task, own_method, given.get("ratio_mode")) == (task, method, ratio) and at_equal_epochs:
            return records
    return []
