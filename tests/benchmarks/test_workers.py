"""Items run in single-threaded processes; results arrive as they finish, and no process outlives its parent."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from benchmarks import workers
from benchmarks.workers import in_processes


def wait(seconds: float) -> tuple[int, int]:
    """Returns the process id and the number of threads of torch."""
    if seconds < 0:
        raise ValueError("time cannot be negative")
    time.sleep(seconds)
    return os.getpid(), torch.get_num_threads()


def test_each_item_is_yielded_with_its_result_from_a_single_threaded_process() -> None:
    found = dict(in_processes(wait, [0.0, 0.1, 0.2], jobs=2))
    assert sorted(found) == [0.0, 0.1, 0.2]
    processes = {process for process, _ in found.values()}
    assert os.getpid() not in processes and len(processes) <= 2
    assert [threads for _, threads in found.values()] == [1, 1, 1]
    assert not multiprocessing.active_children()


def test_an_error_is_raised_and_ends_the_other_processes() -> None:
    with pytest.raises(ValueError, match="negative"):
        list(in_processes(wait, [3600.0, -1.0], jobs=2))
    assert not multiprocessing.active_children()


def test_an_interrupt_ends_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(workers, "as_completed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(in_processes(wait, [3600.0], jobs=2))
    assert not multiprocessing.active_children()


PARENT = """
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
from benchmarks.workers import begin_worker

if __name__ == "__main__":
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), begin_worker)
    print(pool.submit(os.getpid).result(), flush=True)
    pool.submit(time.sleep, 3600)
    time.sleep(3600)
"""


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    root = Path(workers.__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(root)}
    parent = subprocess.Popen([sys.executable, tmp_path / "parent.py"], stdout=subprocess.PIPE, env=environment)
    try:
        assert int(parent.stdout.readline()) > 0
        parent.kill()
        parent.communicate(timeout=60)  # until the last process that could still write has ended
    finally:
        parent.kill()
