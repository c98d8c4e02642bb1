"""Passes inside a checkpoint of the user's own, which runs them once more for the backward pass.

They must then merge as they did before, whatever settings are in force by that time.
"""

from __future__ import annotations

import sys
from collections.abc import MutableMapping
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ..errors import unusable
from .settings import Settings

__all__ = ["Checkpointed"]

# Of torch, of DeepSpeed and Megatron, and of FairScale.
FILES = ("/checkpoint.py", "/checkpointing.py", "/checkpoint_activations.py")
SEEN = "_merging_settings"


class Checkpointed:
    """The settings by which a model has merged inside checkpoints.

    They are kept with the images, whose memory a checkpoint holds until it runs the model on them again.
    """

    def __init__(self) -> None:
        self.all: set[Settings] = set()

    def settings(self, now: Settings, images: Any) -> Settings:
        """The settings of a pass that begins.

        Args:
            now: Those in force.
            images: What the model is run on; None where that is not known.

        Raises:
            MergeMixError: If the pass is run once more, and it is not clear how it merged.
        """
        if torch.compiler.is_compiling() or not _in_checkpoint():
            return now
        seen = self._seen(images)
        if torch._C._current_graph_task_id() == -1:  # no backward pass is under way
            self.all.add(now)
            seen.add(now)
            return now
        known = seen or self.all
        if len(known) != 1:
            raise unusable(
                "r",
                "got several settings since the forward pass that a checkpoint now runs once more, wanted one; use "
                "the model's set_grad_checkpointing(True) instead of that checkpoint, or run backward() first",
            )
        return next(iter(known))

    def _seen(self, images: Any) -> set[Settings]:
        if not isinstance(images, Tensor) or images.layout != torch.strided:
            return set()
        by_model: MutableMapping[Checkpointed, set[Settings]] = vars(images.untyped_storage()).setdefault(
            SEEN, WeakKeyDictionary()
        )
        return by_model.setdefault(self, set())


def _in_checkpoint() -> bool:
    frame = sys._getframe(1)
    while frame.f_back is not None:
        if frame.f_code.co_filename.endswith(FILES):
            return True
        frame = frame.f_back
    return False
