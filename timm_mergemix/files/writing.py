"""Writes files of which nobody ever sees a half: the new content is there, or the former one is."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import RawIOBase
from pathlib import Path
from typing import Any

from ..errors import unusable

__all__ = ["NO_FOLLOW", "Unfinished", "append_line", "remove_unfinished", "whole_file", "write_file"]

# Links are never followed, where the system can say so; on Windows, bytes are bytes.
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class Unfinished(RawIOBase):
    """An open file that is not at its place yet. After a failed write it takes nothing more.

    Attributes:
        digest: SHA-256 of what was written so far.
        failure: The error of a write, since not everyone who writes hands it on as it is.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self.digest = hashlib.sha256()
        self.failure: OSError | None = None
        self._descriptor = descriptor

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any) -> int:
        """Writes all of it."""
        if self.failure is not None:
            raise self.failure
        try:
            _write_all(self._descriptor, data)
        except OSError as error:
            self.failure = error
            raise
        self.digest.update(data)
        return memoryview(data).nbytes


@contextmanager
def whole_file(path: Path, sync: bool = True) -> Iterator[Unfinished]:
    """A new file that takes its place when the block ends; if the block raises, all is as before.

    It is written beside its place, and so never through a link: one that is there is replaced.

    Args:
        path: Its place; the folder is made.
        sync: Whether it must be on the disk before it takes its place. Without, a power failure may leave it empty.

    Raises:
        MergeMixError: If it cannot be written.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW, 0o666)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        file = Unfinished(descriptor)
        try:
            yield file
            if sync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(beside, path)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(beside)
        failure = file.failure or error
        if isinstance(failure, OSError):
            raise _unwritable(path, failure) from error
        raise


def write_file(path: Path, content: str | bytes, sync: bool = True) -> Path:
    """Writes a whole file, text as UTF-8, and returns its path; see `whole_file`."""
    with whole_file(path, sync) as file:
        file.write(content.encode() if isinstance(content, str) else content)
    return path


def append_line(path: Path, line: bytes, sync: bool = True) -> None:
    """Adds a line to a file, in place of a last one that was cut off. Without the line, the file ends as before.

    Args:
        path: The file; it is made. The caller holds its lock, see `locked`.
        line: Without its newline.
        sync: Whether it must be on the disk when this returns.

    Raises:
        MergeMixError: If it cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | NO_FOLLOW, 0o666)
        try:
            end = _end_of_lines(descriptor)
            os.ftruncate(descriptor, end)
            os.lseek(descriptor, end, os.SEEK_SET)
            try:
                _write_all(descriptor, line + b"\n")
                if sync:
                    os.fsync(descriptor)
            except BaseException:
                os.ftruncate(descriptor, end)
                raise
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _unwritable(path, error) from error


def remove_unfinished(directory: Path, name: str = "*") -> None:
    """Removes what a program left that was killed while it wrote; the caller holds the lock of what is written.

    Args:
        directory: Where `whole_file` wrote.
        name: Of the file, as a pattern.
    """
    for path in directory.glob(f".{name}.{'[0-9a-f]' * 8}.tmp"):
        with suppress(OSError):
            path.unlink()


def _write_all(descriptor: int, data: Any) -> None:
    left = memoryview(data).cast("B")
    while left:  # a disk that becomes full takes a part
        left = left[os.write(descriptor, left) :]


def _end_of_lines(descriptor: int) -> int:
    """The place after the last newline of a file."""
    end = os.lseek(descriptor, 0, os.SEEK_END)
    while end:
        start = max(0, end - 65536)
        os.lseek(descriptor, start, os.SEEK_SET)
        found = os.read(descriptor, end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _unwritable(path: Path, error: OSError) -> Exception:
    return unusable(path, f"cannot be written: {error}")
