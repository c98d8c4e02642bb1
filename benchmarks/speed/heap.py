"""The C library's heap: whether freed memory stays with the process."""

from __future__ import annotations

import ctypes

__all__ = ["keep_freed_memory"]

# Parameters of glibc's mallopt.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3


def keep_freed_memory() -> bool:
    """Lets glibc's malloc keep what is freed, as jemalloc and tcmalloc do, and the caching allocator of CUDA.

    Else a step gives its large tensors back to the system and gets them again page by page. How many pages that are
    depends on where small tensors happen to lie, and is another number in each process and for each model.

    Returns:
        Whether the C library is one that can be told.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, 1 << 30) and mallopt(M_TRIM_THRESHOLD, -1))
