"""Controls whether the heap of the C library keeps freed memory in the process."""

from __future__ import annotations

import ctypes

__all__ = ["keep_freed_memory"]

# Parameters of glibc's mallopt.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3


def keep_freed_memory() -> bool:
    """Makes glibc's malloc keep freed memory, as jemalloc, tcmalloc and the caching allocator of CUDA do.

    Otherwise a step returns its large tensors to the system and gets them back page by page. The number of pages
    depends on where small tensors happen to be, so it differs between processes and between models.

    Returns:
        Whether the C library supports this.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, 1 << 30) and mallopt(M_TRIM_THRESHOLD, -1))
