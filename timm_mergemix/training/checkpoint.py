"""The one file from which a run goes on."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..errors import Words, unusable, wrong

__all__ = ["differing", "load_checkpoint", "save_checkpoint"]

_KEYS = {"settings", "epochs_done", "model", "optimizer", "scheduler", "history"}


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Writes a checkpoint so that at any moment either the old or the new one is whole on the disk.

    Args:
        path: The file.
        state: Tensors and plain Python values.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".tmp")
    with unfinished.open("wb") as file:
        torch.save(dict(state), file)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint onto the CPU; runs no code from the file.

    Raises:
        MergeMixError: If it is not one that `fit` wrote.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise unusable(path, f"cannot be read as a checkpoint: {error}") from error
    if not isinstance(state, dict) or not state.keys() >= _KEYS:
        raise wrong(path, Words("a file of another kind"), f"a checkpoint with {', '.join(sorted(_KEYS))}")
    return state


def differing(there: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The settings in which two runs differ, as text; empty if there are none."""
    names = sorted(name for name in there.keys() | now.keys() if there.get(name) != now.get(name))
    return ", ".join(f"{name} ({there.get(name)!r} there, {now.get(name)!r} now)" for name in names)
