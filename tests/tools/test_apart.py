"""Results come from another process, and an error, a crash or a deadlock there raises an error here."""

from __future__ import annotations

import os
import time

import pytest
import torch

from tools import apart as module
from tools.apart import ApartError, apart


def process_and_threads(*ids: int) -> tuple[int, int, tuple[int, ...]]:
    return os.getpid(), torch.get_num_threads(), ids


def fail(message: str) -> None:
    raise ValueError(message)


def test_the_result_comes_from_another_process_with_one_thread() -> None:
    process, threads, ids = apart(60, process_and_threads, 1, 2)
    assert (process == os.getpid(), threads, ids) == (False, 1, (1, 2))


def test_an_error_in_the_process_is_raised_here() -> None:
    with pytest.raises(ApartError, match="ValueError: so it is"):
        apart(60, fail, "so it is")


def test_a_process_that_dies_is_named_with_its_exit_code() -> None:
    with pytest.raises(ApartError, match=r"died \(exit code 3\)"):
        apart(60, os._exit, 3)


def test_a_process_that_does_not_end_is_killed(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ApartError, match="did not end in 1 s"):
        apart(1, time.sleep, 60)
    assert "most recent call first" in capfd.readouterr().err


def test_a_process_that_does_not_even_start_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE", 0.0)
    with pytest.raises(ApartError, match=r"did not end in 0 s$"):
        apart(0.01, time.sleep, 60)
