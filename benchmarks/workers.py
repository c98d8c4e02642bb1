"""Several trials at a time, each in a process of one thread, which suits small models."""

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
    """Each item with what came of it, in the order in which they are finished.

    Args:
        run: What is run on an item; both are pickled.
        items: The items.
        jobs: Processes at a time.
    """
    before = set(multiprocessing.active_children())
    # Not forked: threads and accelerators do not survive it.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=begin_worker) as pool:
        running = {pool.submit(run, item): item for item in items}
        try:
            for future in as_completed(running):
                yield running[future], future.result()
        except BaseException:
            # Nobody waits for the others: they go on from their checkpoints.
            for process in set(multiprocessing.active_children()) - before:
                process.terminate()
            raise


def begin_worker() -> None:
    """One thread, and an end when the process that started this one is gone, however it went."""
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
