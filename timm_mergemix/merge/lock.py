"""The lock that whoever patches, unpatches or looks at a model holds, so that no thread sees a half-patched one."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

__all__ = ["CHANGING", "undisturbed"]

P = ParamSpec("P")
T = TypeVar("T")

CHANGING = threading.RLock()  # passes never wait for it

if hasattr(os, "register_at_fork"):  # another thread may hold it while this process is copied
    os.register_at_fork(after_in_child=CHANGING._at_fork_reinit)  # type: ignore[attr-defined]


def undisturbed(function: Callable[P, T]) -> Callable[P, T]:
    """Makes a function hold the lock while it runs."""

    @wraps(function)
    def locked(*args: P.args, **kwargs: P.kwargs) -> T:
        with CHANGING:
            return function(*args, **kwargs)

    return locked
