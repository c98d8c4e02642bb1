"""The device and the CPU threads that a command line asks for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..errors import check_int, unusable

__all__ = ["choose_device", "cpu_threads"]


def choose_device(name: str, seed: int = 0) -> torch.device:
    """Returns the device to run on.

    Raises:
        MergeMixError: If there is no such device, or the seed is negative or beyond 64 bits.
    """
    check_int("seed", seed, 0)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.ones(1, device=device).item()  # a device without memory, meta, has no values
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise unusable("device", f"{name!r} cannot be used: {str(error).splitlines()[0]}") from error
    return device


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Sets the number of CPU threads of torch while the context is open.

    Raises:
        MergeMixError: If ``count`` is not a positive integer.
    """
    check_int("threads", count, 1)
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
