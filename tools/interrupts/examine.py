"""Interrupts the operations of one family many times, each time on a new model."""

from __future__ import annotations

import gc
import sys
import time
from collections import Counter
from collections.abc import Callable
from random import Random

from torch import Tensor

import timm_mergemix as mm

from ..census.snapshot import Snapshot, difference, snapshot
from ..require import CheckError, require
from ..tiny import FAMILIES
from .moments import count_moments, interrupt_after, interrupt_at
from .operations import OPERATIONS, Operation
from .row import WAYS, Row
from .state import Expected, behaviour, first_difference, reset_torch

NEXT_R = 1
Interrupt = Callable[[Callable[[], object]], bool]


def examine(name: str, interrupts: int, signals: int) -> list[Row]:
    """Interrupts all operations on one family.

    Args:
        name: Name of the family.
        interrupts: Number of interrupts per operation.
        signals: Number of additional interrupts that are sent as signals.
    """
    sys.unraisablehook = lambda _: None  # Python ignores an interrupt in a callback of the garbage collector
    family = FAMILIES[name]
    plain = family.build().train()
    next(plain.children()).eval()  # different modes, so that it is visible whether each is restored
    x = family.inputs(0)[0]
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}: no images")
    expected, rows = Expected(plain, x), []
    for operation in OPERATIONS:
        for way, count in zip(WAYS, (interrupts, signals), strict=True):
            rows.append(_examine(Row(name, operation.name, way), operation, expected, count))
    return rows


def _examine(row: Row, operation: Operation, expected: Expected, count: int) -> Row:
    try:
        operation.run(expected.model(operation.before_r), expected.x)
    except mm.MergeMixError as error:
        row.refused = str(error)
        return row
    draw = _drawer(row, operation, expected)
    at_once, broken = Counter[str](), Counter[str]()
    for trial in range(count):
        interrupt, started = draw(), _Started(operation, expected)
        came = interrupt(started.run)
        gc.collect(0)
        row.interrupts, row.late = row.interrupts + came, row.late + (not came)
        row.torch_left += reset_torch()
        at_once.update(_found(started.check_at_once))
        broken.update(_found(started.check_patch if trial % 2 else started.check_unpatch))
        _require_sound(expected)
    row.at_once, row.broken = dict(at_once), dict(broken)
    return row


class _Started:
    """A new model and an operation on it that will be interrupted."""

    def __init__(self, operation: Operation, expected: Expected) -> None:
        self.operation = operation
        self.expected = expected
        self.model = expected.model(None)
        self.untouched: Snapshot = snapshot(self.model)
        if operation.before_r is not None:
            mm.patch(self.model, operation.before_r)

    def run(self) -> None:
        """Runs the operation."""
        self.operation.run(self.model, self.expected.x)

    def check_at_once(self) -> None:
        """Checks that the model runs as before the operation, or as after it."""
        found = behaviour(self.model, self.expected.x)
        wanted = [self.expected.behaviour(r) for r in {self.operation.before_r, self.operation.leaves_r}]
        differences = [first_difference(found, one) for one in wanted]
        require(None in differences, differences[0])

    def check_patch(self) -> None:
        """Checks that the next `patch` makes the model equal to a patched copy, and that `unpatch` restores it."""
        mm.patch(self.model, NEXT_R)
        different = first_difference(behaviour(self.model, self.expected.x), self.expected.behaviour(NEXT_R))
        require(different is None, f"patch: {different}")
        self.check_unpatch()

    def check_unpatch(self) -> None:
        """Checks that the next `unpatch` restores the model."""
        mm.unpatch(self.model)
        different = difference(self.untouched, snapshot(self.model))
        require(different is None, f"unpatch: {different}")
        different = first_difference(behaviour(self.model, self.expected.x), self.expected.behaviour(None))
        require(different is None, f"unpatch: {different}")


def _drawer(row: Row, operation: Operation, expected: Expected) -> Callable[[], Interrupt]:
    """Draws random moments of an operation."""
    random = Random(f"{row.family} {row.operation} {row.way}")
    run = _Started(operation, expected).run
    if row.way == "instruction":
        last = count_moments(run)

        def draw() -> Interrupt:
            moment = random.randint(1, last)
            return lambda action: interrupt_at(action, moment)

        return draw
    start = time.perf_counter()
    run()
    seconds = time.perf_counter() - start

    def draw_time() -> Interrupt:
        delay = random.uniform(0, seconds)
        return lambda action: interrupt_after(action, delay)

    return draw_time


def _found(check: Callable[[], None]) -> list[str]:
    try:
        check()
    except CheckError as error:
        return [str(error)]
    except Exception as error:
        return [f"{check.__name__}: {type(error).__name__}: {error}"[:200]]
    return []


def _require_sound(expected: Expected) -> None:
    """Checks that an untouched model still runs as before, so that any fault is in the model and not in torch."""
    different = first_difference(behaviour(expected.model(None), expected.x), expected.behaviour(None))
    require(different is None, f"an interrupt changed torch itself: {different}")
