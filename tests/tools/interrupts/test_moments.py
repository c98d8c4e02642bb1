"""An interrupt is raised once at the chosen moment, and no trace function or handler is left behind."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import suppress

import pytest

from tools.interrupts.moments import count_moments, interrupt_after, interrupt_at


def counting(steps: list[int], cleaned: list[bool]) -> None:
    try:
        for step in range(50):
            steps.append(step)
    finally:
        cleaned.append(True)


def test_each_moment_is_distinct_and_cleanup_code_runs() -> None:
    moments, lengths = count_moments(lambda: counting([], [])), set()
    for moment in range(1, moments + 1):
        steps: list[int] = []
        cleaned: list[bool] = []
        assert interrupt_at(lambda: counting(steps, cleaned), moment)  # noqa: B023 - called at once
        assert cleaned == [True] or moment < 20 or moment > moments - 20
        lengths.add(len(steps))
    assert lengths == set(range(51))


def test_a_moment_after_the_end_is_too_late() -> None:
    moments = count_moments(lambda: counting([], []))
    assert not interrupt_at(lambda: counting([], []), moments + 1)


def test_a_swallowed_interrupt_does_not_count_as_propagated() -> None:
    def swallow() -> None:
        with suppress(KeyboardInterrupt):
            counting([], [])

    assert not interrupt_at(swallow, count_moments(swallow) // 2)


def test_other_errors_are_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        interrupt_at(lambda: 1 / 0, 10**6)


def test_tracing_ends_with_the_action() -> None:
    before = sys.gettrace()
    interrupt_at(lambda: counting([], []), 30)
    assert sys.gettrace() is before


def test_a_signal_interrupts_the_action_and_nothing_later() -> None:
    before = signal.getsignal(signal.SIGALRM)
    assert interrupt_after(lambda: time.sleep(30), 0.01)
    assert not interrupt_after(lambda: None, 30)
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
