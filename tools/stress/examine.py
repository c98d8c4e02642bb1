"""Runs the calls of one family on a model that is shared by threads, then by tasks."""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy

from torch import nn

import timm_mergemix as mm

from ..tiny import FAMILIES, Family, compiled
from .calls import BASE_R, crossed_calls, reading_calls, training_calls
from .modes import Modes
from .row import Row
from .tally import Known, Tally, known
from .together import hasty, in_tasks, in_threads, one_by_one

INTERVAL = 1e-6  # seconds; the shortest interval that Python allows
TIMED_SHARE = 10  # one call in this many is timed, with Python's default interval
TASK_SHARE = 4


def examine(name: str, threads: int, calls: int) -> Row:
    """Runs the calls of one family.

    Args:
        name: Name of the family.
        threads: Number of threads, and of tasks; the first one trains.
        calls: Calls per thread; a task makes a quarter as many.
    """
    start, family, modes = time.perf_counter(), FAMILIES[name], Modes()
    # Always in train mode: no family has dropout, so evaluation and training give the same output.
    model = mm.patch(family.build(), BASE_R).train()
    lists, refused = prepare(family, model, threads, modes)
    row = Row(name, refused=refused)
    _examine_threads(row, _shared(family, model, modes), lists, calls, modes)
    if not family.compiled:  # the limit is meant for threads
        _examine_tasks(row, deepcopy(model), family, lists, max(1, calls // TASK_SHARE))
    row.seconds = round(time.perf_counter() - start, 1)
    return row


def prepare(family: Family, model: nn.Module, threads: int, modes: Modes) -> tuple[list[list[Known]], list[str]]:
    """Returns the calls of each thread with their results on an untouched model, and the refused calls."""
    lists, refused = [], set()
    for thread in range(threads):
        inputs = family.inputs(thread)
        calls = training_calls(inputs, thread, modes) if thread == 0 else reading_calls(inputs, thread)
        found, reasons = known(calls, lambda: deepcopy(model))
        lists.append(found)
        refused.update(reasons)
    return lists, sorted(refused)


def _shared(family: Family, model: nn.Module, modes: Modes) -> nn.Module:
    shared = deepcopy(model)
    if family.compiled:
        return compiled(shared)
    modes.watch(shared)
    return shared


def _examine_threads(row: Row, model: nn.Module, lists: list[list[Known]], calls: int, modes: Modes) -> None:
    few = max(1, calls // TIMED_SHARE)
    one_by_one(model, lists, few)  # compiles the model and fills caches
    alone, seconds_alone = _timed(lambda: one_by_one(model, lists, few))
    together, seconds = _timed(lambda: in_threads(model, lists, few, modes))
    with hasty(INTERVAL):
        together += in_threads(model, lists, calls, modes)
    row.calls, row.wrong, row.errors = together.calls, dict(together.wrong), dict(together.errors)
    row.evaluated = together.evaluated
    row.alone, row.after = _bad(alone), _bad(one_by_one(model, lists, few))
    row.ratio = round(seconds / seconds_alone, 2)


def _examine_tasks(row: Row, model: nn.Module, family: Family, lists: list[list[Known]], calls: int) -> None:
    crossed, _ = known(crossed_calls(family.inputs(0)), lambda: deepcopy(model))
    tasks = in_tasks(model, [[*calls_of_one, *crossed] for calls_of_one in lists], calls)
    row.task_calls, row.task_wrong, row.task_errors = tasks.calls, dict(tasks.wrong), dict(tasks.errors)
    left = _bad(one_by_one(model, lists, max(1, calls // TIMED_SHARE)))
    row.after |= {kind: row.after.get(kind, 0) + count for kind, count in left.items()}


def _bad(tally: Tally) -> dict[str, int]:
    return dict(tally.wrong + tally.errors)


def _timed(run: Callable[[], Tally]) -> tuple[Tally, float]:
    start = time.perf_counter()
    return run(), time.perf_counter() - start
