"""Atomic writes: a file has either its old content or its complete new content, never a part of it."""

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

# Links are not followed on systems that support this. On Windows, newlines are not translated.
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class Unfinished(RawIOBase):
    """An open file that has not been moved to its final path yet. After a failed write, every further write fails.

    Attributes:
        digest: SHA-256 of what was written so far.
        failure: The error of a failed write, kept because some writers raise another one in its place.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self.digest = hashlib.sha256()
        self.failure: OSError | None = None
        self._descriptor = descriptor

    def writable(self) -> bool:
        """Always True."""
        return True

    def write(self, data: Any) -> int:
        """Writes all of the data."""
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
    """Opens a temporary file that replaces ``path`` when the block ends. If the block raises, nothing has changed.

    The temporary file is in the same folder. If ``path`` is a link, the link is replaced and its target is untouched.

    Args:
        path: The final path of the file. Its folder is created.
        sync: Whether to flush the file to disk before the rename. Otherwise a power failure may leave it empty.

    Raises:
        MergeMixError: If the file cannot be written.
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
    """Writes a file atomically, text as UTF-8, and returns its path; `whole_file` explains ``sync``."""
    with whole_file(path, sync) as file:
        file.write(content.encode() if isinstance(content, str) else content)
    return path


def append_line(path: Path, line: bytes, sync: bool = True) -> None:
    """Appends a line to a file, after removing an incomplete last line. A failed write leaves no part of the line.

    Args:
        path: The file, which is created if needed. The caller must hold its lock (`locked`).
        line: The line without its newline.
        sync: Whether to flush the line to disk before returning.

    Raises:
        MergeMixError: If the line cannot be written.
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
    """Removes temporary files that a killed program left behind. The caller must hold the lock of the final files.

    Args:
        directory: The folder that `whole_file` wrote to.
        name: A glob pattern for the names of the final files.
    """
    for path in directory.glob(f".{name}.{'[0-9a-f]' * 8}.tmp"):
        with suppress(OSError):
            path.unlink()


def _write_all(descriptor: int, data: Any) -> None:
    left = memoryview(data).cast("B")
    while left:  # a disk that is almost full may accept only a part
        left = left[os.write(descriptor, left) :]


def _end_of_lines(descriptor: int) -> int:
    """Returns the offset after the last newline of a file."""
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
