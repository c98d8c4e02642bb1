"""Passes inside a checkpoint of the user's own, which runs them once more for the backward pass.

They must then merge as they did before, whatever settings are in force by that time.
"""

from __future__ import annotations

import sys
from collections.abc import MutableMapping
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ..errors import unusable
from .settings import Settings

__all__ = ["Checkpointed", "Manner", "in_order"]

# Of torch, of DeepSpeed and Megatron, and of FairScale.
FILES = ("/checkpoint.py", "/checkpointing.py", "/checkpoint_activations.py")
SEEN = "_merging_settings"


class Manner(NamedTuple):
    """What must be the same when a pass is run once more.

    Attributes:
        settings: How it merges.
        recovering: Whether the last block returns all tokens.
    """

    settings: Settings
    recovering: bool


class Checkpointed:
    """In what manner a model has run inside checkpoints.

    That is kept with what goes in: a checkpoint holds its memory until it runs the model on it again.
    """

    def __init__(self) -> None:
        self.all: set[Manner] = set()

    def manner(self, now: Manner, *inputs: Any) -> Manner:
        """The manner of a pass that begins.

        Args:
            now: The one in force.
            *inputs: Images or tokens that the model is run on, as far as they are known.

        Raises:
            MergeMixError: If the pass is run once more, and it is not clear how it ran before.
        """
        if torch.compiler.is_compiling() or not _in_checkpoint():
            return now
        seen = [self._seen(each) for each in inputs]
        if not _in_backward():
            for manners in (self.all, *seen):
                manners.add(now)
            return now
        known = next(filter(None, reversed(seen)), self.all)
        if len(known) != 1:
            raise unusable(
                "r",
                "got none or several settings for a forward pass that a checkpoint runs once more, wanted one; use the "
                "model's set_grad_checkpointing(True) instead, or call backward() before r or images are used again",
            )
        return next(iter(known))

    def _seen(self, images: Any) -> set[Manner]:
        if not isinstance(images, Tensor) or images.layout != torch.strided:
            return set()
        by_model: MutableMapping[Checkpointed, set[Manner]] = vars(images.untyped_storage()).setdefault(
            SEEN, WeakKeyDictionary()
        )
        return by_model.setdefault(self, set())


def in_order() -> str:
    """What to do where a block does not run after the one before it."""
    if not torch.compiler.is_compiling() and _in_backward():
        return (
            "a checkpoint around single blocks runs them once more in the backward pass, without the others; use the "
            "model's set_grad_checkpointing(True), or one checkpoint around all blocks"
        )
    return (
        "the blocks of a patched model must run in order, from the first one; unpatch the model and patch it again if "
        "some were removed"
    )


def _in_backward() -> bool:
    return torch._C._current_graph_task_id() != -1


def _in_checkpoint() -> bool:
    frame = sys._getframe(1)
    while frame.f_back is not None:
        if frame.f_code.co_filename.endswith(FILES):
            return True
        frame = frame.f_back
    return False
