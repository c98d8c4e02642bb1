"""The file from which an interrupted run goes on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import Words, wrong
from ..files.tensors import load_tensors, save_tensors

__all__ = ["differing", "load_checkpoint", "save_checkpoint"]

_KEYS = {"settings", "epochs_done", "model", "optimizer", "history"}


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Writes a checkpoint and its checksum, so that at any moment either the old or the new one is whole on the disk.

    Args:
        path: The file.
        state: Tensors and plain Python values.

    Raises:
        MergeMixError: If it cannot be written.
    """
    save_tensors(path, dict(state))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint onto the CPU; runs no code from the file.

    Raises:
        MergeMixError: If it is not a checkpoint of `fit`, or is not as it was written.
    """
    state = load_tensors(path)
    if not isinstance(state, dict) or not state.keys() >= _KEYS:
        raise wrong(path, Words("a file of another kind"), f"a checkpoint with {', '.join(sorted(_KEYS))}")
    return state


def differing(there: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The settings in which two runs differ, as text; empty if there are none."""
    names = sorted(name for name in there.keys() | now.keys() if there.get(name) != now.get(name))
    return ", ".join(f"{name} ({there.get(name)!r} there, {now.get(name)!r} now)" for name in names)
