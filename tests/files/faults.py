"""Simulates a disk that fails at a chosen system call."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

CALLS = ("open", "write", "ftruncate", "fsync", "replace")


class Faults:
    """Counts calls that change the disk; the call with a given number does half of its work and fails."""

    def __init__(self, number: int, code: int = errno.ENOSPC, failure: type[BaseException] | None = None) -> None:
        self.number, self.code, self.failure = number, code, failure
        self.count = 0

    @property
    def failed(self) -> bool:
        return self.count >= self.number

    def wrap(self, name: str) -> Callable[..., Any]:
        call = getattr(os, name)

        def wrapped(*args: Any, **options: Any) -> Any:
            self.count += 1
            if self.count == self.number:
                if name == "write":
                    call(args[0], bytes(args[1])[: len(args[1]) // 2])
                raise self.failure() if self.failure else OSError(self.code, os.strerror(self.code))
            return call(*args, **options)

        return wrapped


@contextmanager
def failing(number: int, **options: Any) -> Iterator[Faults]:
    """Makes call ``number`` fail, counted from 1."""
    faults = Faults(number, **options)
    with patch.multiple(os, **{name: faults.wrap(name) for name in CALLS}):
        yield faults
