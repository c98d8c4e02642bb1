"""Files of tensors with a checksum: a file that has changed since it was written is refused."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import torch

from ..errors import MergeMixError, unusable
from .writing import whole_file

__all__ = ["check_unchanged", "load_tensors", "save_tensors"]

# Written after the archive of torch.save, where torch.load ignores it.
_MARK = b"\nSHA-256 of all before: "
_LENGTH = len(_MARK) + 2 * hashlib.sha256().digest_size
_BLOCK = 1 << 20


def save_tensors(path: Path, state: Any) -> None:
    """Writes tensors and plain Python values with ``torch.save``, atomically, and a checksum at the end."""
    with whole_file(path) as file:
        torch.save(state, cast(IO[bytes], file))
        file.write(_MARK + file.digest.hexdigest().encode())


def load_tensors(path: Path) -> Any:
    """Loads a file of `save_tensors` or ``torch.save`` onto the CPU, without running code from the file.

    Raises:
        MergeMixError: If the file cannot be read, or does not match its checksum. The checksum may be missing.
    """
    try:
        with path.open("rb") as file:
            _check(path, file)
            file.seek(0)
            return torch.load(file, map_location="cpu", weights_only=True)
    except MergeMixError:
        raise
    except Exception as error:  # unpickling may raise anything for a damaged file or another kind of file
        raise unusable(path, f"cannot be read as a checkpoint: {error}") from error


def check_unchanged(path: Path) -> None:
    """Raises if a file cannot be read, or has a checksum of `save_tensors` that does not match."""
    try:
        with path.open("rb") as file:
            _check(path, file)
    except OSError as error:
        raise unusable(path, f"cannot be read: {error}") from error


def _check(path: Path, file: BinaryIO) -> None:
    left = max(0, file.seek(0, os.SEEK_END) - _LENGTH)
    file.seek(left)
    end = file.read()
    if not end.startswith(_MARK):
        return
    file.seek(0)
    digest = hashlib.sha256()
    while left:
        block = file.read(min(left, _BLOCK))
        digest.update(block)
        left -= len(block)
    if digest.hexdigest().encode() != end.removeprefix(_MARK):
        raise unusable(path, "is damaged: its checksum does not match its content")
