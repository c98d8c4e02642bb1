"""A KeyboardInterrupt at a chosen moment of a call."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

Action = Callable[[], Any]


class _Trace:
    """Counts the instructions of Python in all frames, torch's too, and raises at one of them."""

    def __init__(self, moment: int | None) -> None:
        self.count = 0
        self.moment = moment

    def __call__(self, frame: FrameType, event: str, argument: object) -> _Trace:
        if event == "call":
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event in ("call", "opcode"):
            self.count += 1
            if self.count == self.moment:
                raise KeyboardInterrupt  # Python ends the trace: what cleans up is not interrupted again
        return self


def count_moments(action: Action) -> int:
    """How many instructions an action has."""
    trace = _Trace(None)
    _traced(action, trace)
    return trace.count


def interrupt_at(action: Action, moment: int) -> bool:
    """Runs an action up to an instruction, counted from 1; whether the interrupt came out of it."""
    return _is_interrupted(lambda: _traced(action, _Trace(moment)))


def interrupt_after(action: Action, seconds: float) -> bool:
    """Runs an action, with a signal on its way as Ctrl-C sends it; whether the interrupt came out of it."""
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
