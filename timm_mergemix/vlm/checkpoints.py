"""Loads checkpoints of models whose weights have other names on disk than in memory."""

from __future__ import annotations

import json
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import need, unusable

__all__ = ["has_other_names", "load_renamed"]

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"


def has_other_names(model: nn.Module, checkpoint: Path) -> bool:
    """Whether a checkpoint of a transformers model contains names that the model itself does not have.

    transformers saves the weights of many vision-language models under the names of their first releases. Its
    ``from_pretrained`` maps them back, but its training loop (up to 5.24) does not: it would continue with untrained
    weights after only a warning.
    """
    return hasattr(model, "from_pretrained") and not _names(checkpoint) <= model.state_dict().keys()


def load_renamed(model: Any, checkpoint: Path) -> None:
    """Loads the weights of a checkpoint into an existing model, with names mapped as in ``from_pretrained``."""
    # In the widest dtype of the model's weights, from which each is cast without loss.
    widest = reduce(torch.promote_types, (each.dtype for each in model.parameters() if each.is_floating_point()))
    found = type(model).from_pretrained(checkpoint, dtype=widest)
    model.load_state_dict(found.state_dict())


def _names(checkpoint: Path) -> set[str]:
    if (checkpoint / SINGLE).is_file():
        return _names_of(checkpoint / SINGLE)
    if (checkpoint / INDEX).is_file():
        return _names_in(checkpoint / INDEX)
    return set()


def _names_of(file: Path) -> set[str]:
    safetensors = need("safetensors", "a checkpoint", "vlm")
    try:
        with safetensors.safe_open(file, "pt") as opened:
            return set(opened.keys())
    except (OSError, safetensors.SafetensorError) as error:
        raise unusable(file, f"cannot be read as weights: {error}") from error


def _names_in(index: Path) -> set[str]:
    try:
        return set(json.loads(index.read_text(encoding="utf-8"))["weight_map"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise unusable(index, f"cannot be read as the index of a checkpoint: {error}") from error
