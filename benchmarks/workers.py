"""Runs several trials at the same time in processes of one thread each, which suits small models."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

import torch

__all__ = ["begin_worker", "in_processes"]

T = TypeVar("T")
R = TypeVar("R")


def in_processes(run: Callable[[T], R], items: Sequence[T], jobs: int) -> Iterator[tuple[T, R]]:
    """Yields each item with its result, in the order in which they are finished.

    Args:
        run: The function that runs on an item; both must be picklable.
        items: The items to run.
        jobs: Number of processes.
    """
    before = set(multiprocessing.active_children())
    # Not forked, because threads and accelerators do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=begin_worker) as pool:
        running = {pool.submit(run, item): item for item in items}
        try:
            for future in as_completed(running):
                yield running[future], future.result()
        except BaseException:
            # The others are not waited for, because they can resume from their checkpoints.
            for process in set(multiprocessing.active_children()) - before:
                process.terminate()
            raise


def begin_worker() -> None:
    """Sets one thread, and ends this process when its parent has ended in any way."""
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
