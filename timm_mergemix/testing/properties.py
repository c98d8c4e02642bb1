"""Runs invariants as property tests: hypothesis looks for the smallest case on which one does not hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

__all__ = [
    "InvariantError",
    "RefusedError",
    "kept_random_states",
    "largest_step",
    "reason_of",
    "require",
    "smallest_failure",
]

T = TypeVar("T")


class InvariantError(AssertionError):
    """An invariant does not hold.

    Attributes:
        invariant: Name of the invariant.
        reason: What was found instead.
        case: The smallest case on which it does not hold; None if no case could be tried.
    """

    def __init__(self, invariant: str, reason: str, case: Any) -> None:
        super().__init__(invariant, reason, case)
        self.invariant = invariant
        self.reason = reason
        self.case = case

    def __str__(self) -> str:
        case = "" if self.case is None else f". The smallest case that fails: {self.case}"
        return f"{self.invariant}: {self.reason}{case}"


class RefusedError(Exception):
    """The mixer or model under test raised an error on a case. Most invariants ignore such a case."""


def require(holds: Any, reason: str) -> None:
    """Raises an AssertionError with the reason unless the condition holds."""
    if not holds:
        raise AssertionError(reason)


def smallest_failure(
    invariant: str, check: Callable[[T], None], cases: st.SearchStrategy[T], examples: int
) -> InvariantError | None:
    """Looks for a case on which an invariant does not hold, and makes it as small as possible.

    Cases are the same in every run, whatever hypothesis profile is loaded: examples are derandomized, and none is kept
    between runs. The profile decides the rest, such as verbosity.

    Args:
        invariant: Name of the invariant.
        check: Raises an error if the invariant does not hold on a case; with a `RefusedError` the case is ignored.
        cases: The strategy that draws the cases.
        examples: Number of cases to try.

    Returns:
        The failure, or None if there is none.
    """
    failed: dict[str, Any] = {}
    tried: dict[bool, BaseException | None] = {}

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(case=cases)
    def run(case: Any) -> None:
        try:
            check(case)
        except RefusedError as refusal:
            tried.setdefault(False, refusal.__cause__)
        except Exception as error:
            failed.update(case=case, error=error)  # the last one is the smallest
            raise
        else:
            tried[True] = None

    try:
        run()
    except Exception as raised:
        error = failed.get("error", raised)
        failure = InvariantError(invariant, reason_of(error), failed.get("case"))
        failure.__cause__ = error
        return failure
    if True not in tried:
        return InvariantError(invariant, f"no case could be tried ({reason_of(tried.get(False))})", None)
    return None


def reason_of(error: BaseException | None) -> str:
    """Returns the first line of an error, with its class unless it is a plain AssertionError."""
    said = str(error).strip().splitlines()
    if type(error) is AssertionError and said:
        return said[0]
    return f"{type(error).__name__}: {said[0]}" if said else type(error).__name__


@contextmanager
def kept_random_states(generator: torch.Generator | None = None) -> Iterator[None]:
    """Restores the random state of torch and of a generator; hypothesis restores those of Python and NumPy."""
    own = None if generator is None else generator.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        if generator is not None and own is not None:
            generator.set_state(own)


def largest_step(values: torch.Tensor) -> float:
    """Returns the spacing of the numbers of the dtype at the largest value."""
    if not values.is_floating_point():
        return 1.0
    largest = values.detach().double().abs().max().clamp_min(torch.finfo(values.dtype).tiny)
    return float(torch.finfo(values.dtype).eps * 2.0 ** (torch.frexp(largest).exponent - 1))
