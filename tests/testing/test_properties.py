"""smallest_failure finds the smallest case in every profile; refusals count only if no case could be tried."""

from __future__ import annotations

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st

from timm_mergemix.testing.properties import InvariantError, RefusedError, largest_step, reason_of, smallest_failure

NUMBERS = st.integers(0, 1000)


def above(limit: int, error: Exception) -> object:
    def check(number: int) -> None:
        if number > limit:
            raise error

    return check


def test_the_smallest_case_and_the_reason_are_found() -> None:
    failure = smallest_failure("small", above(41, AssertionError("too much\nand more")), NUMBERS, 100)
    assert isinstance(failure, InvariantError) and isinstance(failure, AssertionError)
    assert (failure.invariant, failure.reason, failure.case) == ("small", "too much", 42)
    assert str(failure) == "small: too much. The smallest case that fails: 42"
    assert isinstance(failure.__cause__, AssertionError)


def test_an_error_of_another_kind_is_a_failure_and_is_named() -> None:
    failure = smallest_failure("small", above(41, KeyError("x")), NUMBERS, 100)
    assert failure.reason == "KeyError: 'x'" and failure.case == 42


def test_two_ways_to_fail_give_one_failure() -> None:
    def check(number: int) -> None:
        if number > 500:
            raise ValueError("large")
        if number > 41:
            raise AssertionError("middling")

    assert smallest_failure("small", check, NUMBERS, 100).case == 42


def test_nothing_is_found_if_the_invariant_holds() -> None:
    assert smallest_failure("small", above(1000, ValueError()), NUMBERS, 20) is None


def test_refused_cases_are_ignored_unless_all_are_refused() -> None:
    def refuse(number: int) -> None:
        if number > 3:
            raise RefusedError from ValueError("too large for me")

    assert smallest_failure("small", refuse, NUMBERS, 20) is None
    failure = smallest_failure("small", refuse, st.integers(4, 9), 20)
    assert str(failure) == "small: no case could be tried (ValueError: too large for me)"


def test_a_fault_that_occurs_only_once_is_still_a_failure() -> None:
    calls = []

    def check(number: int) -> None:
        calls.append(number)
        if len(calls) == 5:
            raise AssertionError("once")

    failure = smallest_failure("steady", check, NUMBERS, 20)
    assert failure.reason == "once" and failure.case == calls[4]


def test_cases_are_the_same_in_every_profile() -> None:
    seen = []
    for examples in (3, 1000):
        settings.register_profile("tried", max_examples=examples, derandomize=False)
        current = settings.get_current_profile_name()
        settings.load_profile("tried")
        try:
            tried: list[int] = []
            smallest_failure("any", tried.append, NUMBERS, 25)
        finally:
            settings.load_profile(current)
        seen.append(tried)
    assert len(seen[0]) == 25 and seen[0] == seen[1]


def test_the_reason_is_the_first_line_of_the_error() -> None:
    assert reason_of(ValueError("a\nb")) == "ValueError: a"
    assert reason_of(ValueError()) == "ValueError"
    assert reason_of(AssertionError("a")) == "a"
    assert reason_of(AssertionError()) == "AssertionError"


@pytest.mark.parametrize(
    ("value", "dtype", "step"),
    [(0.75, torch.float16, 2**-11), (1.0, torch.float16, 2**-10), (200, torch.uint8, 1), (0.3, torch.float64, 2**-54)],
)
def test_largest_step_is_the_spacing_at_the_largest_value(value: float, dtype: torch.dtype, step: float) -> None:
    assert largest_step(torch.tensor([0.01, value], dtype=torch.float64).to(dtype)) == step
