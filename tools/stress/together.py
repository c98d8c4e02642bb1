"""Runs calls in threads or in tasks at the same time."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from random import Random

from torch import Tensor, nn

from .calls import Run, finish
from .modes import Modes
from .tally import Known, Tally

Lists = Sequence[Sequence[Known]]


def one_by_one(model: nn.Module, lists: Lists, calls: int) -> Tally:
    """Runs the calls of `in_threads` in a single thread."""
    return sum((_work(model, known, calls, seed) for seed, known in enumerate(lists)), Tally())


def in_threads(model: nn.Module, lists: Lists, calls: int, modes: Modes) -> Tally:
    """Runs one thread per list, which makes calls drawn from the list."""
    barrier = threading.Barrier(len(lists))

    def work(seed: int) -> Tally:
        barrier.wait()
        tally = _work(model, lists[seed], calls, seed)
        tally.evaluated = modes.evaluated
        return tally

    with ThreadPoolExecutor(len(lists)) as pool:
        return sum(pool.map(work, range(len(lists))), Tally())


def in_tasks(model: nn.Module, lists: Lists, calls: int) -> Tally:
    """Runs one asyncio task per list, which makes calls drawn from it; wherever a task yields, the others continue."""

    async def everything() -> list[Tally]:
        return await asyncio.gather(*(_work_slowly(model, known, calls, seed) for seed, known in enumerate(lists)))

    return sum(asyncio.run(everything()), Tally())


@contextmanager
def hasty(interval: float) -> Iterator[None]:
    """Sets the interval in seconds at which Python switches threads, until the block ends."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(interval)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _work(model: nn.Module, known: Sequence[Known], calls: int, seed: int) -> Tally:
    tally, random = Tally(), Random(seed)
    for _ in range(calls):
        chosen = random.choice(known)
        tally.add(chosen, _result(model, chosen))
    return tally


def _result(model: nn.Module, known: Known) -> list[Tensor] | Exception:
    try:
        return finish(known.call.run(model))
    except Exception as error:
        return error


async def _work_slowly(model: nn.Module, known: Sequence[Known], calls: int, seed: int) -> Tally:
    tally, random = Tally(), Random(seed)
    for _ in range(calls):
        chosen = random.choice(known)
        try:
            result: list[Tensor] | Exception = await _awaited(chosen.call.run(model))
        except Exception as error:
            result = error
        tally.add(chosen, result)
    return tally


async def _awaited(run: Run) -> list[Tensor]:
    while True:
        try:
            next(run)
        except StopIteration as end:
            return end.value
        await asyncio.sleep(0)
