"""Counts the calls whose result is not the expected one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from torch import Tensor, nn

from timm_mergemix import MergeMixError

from .calls import Call, finish

TOLERANCE = 1e-5


@dataclass(frozen=True)
class Known:
    """A call, and its result when nothing else runs."""

    call: Call
    wanted: list[Tensor]


@dataclass
class Tally:
    """Counts of the results of some calls.

    Attributes:
        calls: Number of calls.
        wrong: Kind of call -> number of wrong results.
        errors: Kind of call and error -> number of calls that raised it.
        evaluated: Forward passes of training in which a module was in eval mode.
    """

    calls: int = 0
    wrong: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    evaluated: int = 0

    def add(self, known: Known, result: list[Tensor] | Exception) -> None:
        """Adds the result of a call."""
        self.calls += 1
        if isinstance(result, Exception):
            self.errors[f"{known.call.kind}: {_words(result)}"] += 1
        elif not same(result, known.wanted):
            self.wrong[known.call.kind] += 1

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.calls + other.calls,
            self.wrong + other.wrong,
            self.errors + other.errors,
            self.evaluated + other.evaluated,
        )


def known(calls: Iterable[Call], fresh: Callable[[], nn.Module]) -> tuple[list[Known], list[str]]:
    """Runs each call alone, on an untouched model.

    Args:
        calls: The calls.
        fresh: Makes an untouched model.

    Returns:
        The calls with their results, and the kinds of calls that the model refuses, with the reasons.
    """
    found, refused = [], set()
    for call in calls:
        try:
            found.append(Known(call, finish((call.reference or call.run)(fresh()))))
        except MergeMixError as error:
            refused.add(f"{call.kind}: {error}")
    return found, sorted(refused)


def same(result: list[Tensor], wanted: list[Tensor]) -> bool:
    """Whether tensors are equal up to the last bits."""
    return len(result) == len(wanted) and all(map(_close, result, wanted))


def _close(a: Tensor, b: Tensor) -> bool:
    if (a.shape, a.dtype) != (b.shape, b.dtype):
        return False
    a, b = a.double(), b.double()
    return bool((a - b).abs().max() <= TOLERANCE * b.abs().max())


def _words(error: Exception) -> str:
    """Describes an error without its numbers, which differ from call to call."""
    line = (str(error).strip().splitlines() or [""])[0]
    return re.sub(r"\d+", "N", f"{type(error).__name__}: {line}")[:140]
