"""A lock that allows one writer at a time among all processes of a machine."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

from ..errors import unusable
from .writing import NO_FOLLOW, remove_unfinished

__all__ = ["lock_of", "locked"]

_WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


def lock_of(path: Path) -> Path:
    """Returns the path of the hidden lock file beside a file or a folder."""
    return path.with_name(f".{path.name}.lock")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Locks a file or a folder for writing until the block ends; a second writer gets an error and does not wait.

    The operating system releases the lock however the process ends, so a crash leaves nothing locked. Unfinished files
    that a crashed writer left at ``path`` are removed.

    Args:
        path: The file or folder to be written. Its parent folder is created.

    Raises:
        MergeMixError: If another process or thread holds the lock, or the folder cannot be written to.
    """
    lock = lock_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _acquire(lock)
    except BlockingIOError as error:
        reason = "is being written by another process; wait until it ends, or choose another path"
        raise unusable(path, reason) from error
    except OSError as error:
        raise unusable(path, f"cannot be written: {error}") from error
    try:
        remove_unfinished(path.parent, escape(path.name))
        yield
    finally:
        with suppress(OSError):  # Windows cannot remove an open file; an empty one stays, which locks nothing
            lock.unlink()
        os.close(descriptor)


def _acquire(lock: Path) -> int:
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | NO_FOLLOW, 0o666)
        try:
            _try(descriptor, lock)
            # The previous holder may have removed the file in the meantime; then this lock would protect nothing.
            if _is_at(descriptor, lock):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_at(descriptor: int, lock: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(lock))
    except FileNotFoundError:
        return False


def _try(descriptor: int, lock: Path) -> None:
    """Locks an open file; raises `BlockingIOError` if somebody else holds the lock."""
    try:
        _lock(descriptor)
    except OSError as error:
        if error.errno not in _WITHOUT_LOCKS:
            raise
        message = f"{lock.parent} is on a file system without locks: two processes could write there at the same time"
        warnings.warn(message, stacklevel=4)


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError from error

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
