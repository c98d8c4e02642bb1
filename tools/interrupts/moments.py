"""Raises a KeyboardInterrupt at a chosen moment of a call."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

Action = Callable[[], Any]


class _Trace:
    """Counts the Python instructions in all frames, including torch's, and raises at one of them."""

    def __init__(self, moment: int | None) -> None:
        self.count = 0
        self.moment = moment

    def __call__(self, frame: FrameType, event: str, argument: object) -> _Trace:
        if event == "call":
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event in ("call", "opcode"):
            self.count += 1
            if self.count == self.moment:
                raise KeyboardInterrupt  # Python ends the trace, so the cleanup is not interrupted again
        return self


def count_moments(action: Action) -> int:
    """Counts the instructions of an action."""
    trace = _Trace(None)
    _traced(action, trace)
    return trace.count


def interrupt_at(action: Action, moment: int) -> bool:
    """Interrupts an action at an instruction, counted from 1; returns whether the interrupt propagated."""
    return _is_interrupted(lambda: _traced(action, _Trace(moment)))


def interrupt_after(action: Action, seconds: float) -> bool:
    """Interrupts an action with the signal of Ctrl-C; returns whether the interrupt propagated."""
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)

    def run() -> None:
        try:
            signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-6))
            action()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    try:
        return _is_interrupted(run)
    finally:
        signal.signal(signal.SIGALRM, before)


def _traced(action: Action, trace: _Trace) -> None:
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)


def _is_interrupted(action: Action) -> bool:
    try:
        action()
    except KeyboardInterrupt:
        return True
    return False
