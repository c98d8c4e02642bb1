"""A function in a process of its own, so that neither a deadlock nor a crash stops the program."""

from __future__ import annotations

import faulthandler
import multiprocessing
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, ParamSpec, TypeVar

import torch

P = ParamSpec("P")
Result = TypeVar("Result")

GRACE = 30.0


class ApartError(Exception):
    """The process gave no result; the message says why."""


def apart(limit: float, function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
    """Calls a function in a new process, where torch runs on one thread.

    Args:
        limit: Seconds after which the process shows where its threads are, on standard error, and ends.
        function: It and its arguments must be known to pickle.
        *args: For the function.
        **kwargs: For the function.

    Raises:
        ApartError: If the function raised, the process died, or time was up.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(there, limit, function, args, kwargs))
    process.start()
    there.close()
    try:
        if not here.poll(limit + GRACE):  # more than the limit: importing torch takes its time
            raise ApartError(f"did not end in {limit:.0f} s")
        result, error = here.recv()
    except EOFError:
        process.join(GRACE)
        raise ApartError(f"did not end in {limit:.0f} s, or died (exit code {process.exitcode})") from None
    finally:
        process.join(1)
        process.kill()
        here.close()
    if error is not None:
        raise ApartError(error)
    return result


def _serve(there: Connection, limit: float, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
    faulthandler.dump_traceback_later(limit, exit=True)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    try:
        there.send((function(*args, **kwargs), None))
    except BaseException as error:
        there.send((None, f"{type(error).__name__}: {error}"))
    faulthandler.cancel_dump_traceback_later()
