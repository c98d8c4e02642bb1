"""Runs a function in a separate process, so that neither a deadlock nor a crash stops the program."""

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
    """The process returned no result; the message says why."""


def apart(limit: float, function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
    """Calls a function in a new process, where torch runs on one thread.

    Args:
        limit: Seconds after which the process prints the stacks of its threads to standard error and ends.
        function: The function. It and its arguments must be picklable.
        *args: Positional arguments of the function.
        **kwargs: Keyword arguments of the function.

    Raises:
        ApartError: If the function raised an error, the process died, or the time limit was reached.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(there, limit, function, args, kwargs))
    process.start()
    there.close()
    try:
        if not here.poll(limit + GRACE):  # longer than the limit, because importing torch takes a while
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
