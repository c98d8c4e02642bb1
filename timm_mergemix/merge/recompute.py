"""Passes inside a checkpoint of the user's own, which runs them once more for the backward pass.

They must then merge as they did before, whatever settings are in force by that time.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch.utils import checkpoint

from ..errors import unusable
from .settings import Settings

__all__ = ["Checkpointed", "Manner", "in_order"]

MANNERS = "_merging_manners"


class Manner(NamedTuple):
    """What must be the same when a pass is repeated.

    Attributes:
        settings: How it merges.
        recovering: Whether the last block returns all tokens.
    """

    settings: Settings
    recovering: bool


class Checkpointed:
    """Remembers, for one model, in what manner it ran inside each checkpoint.

    That is kept on the object that torch keeps for the checkpoint, and ends with it.
    """

    def manner(self, now: Manner) -> Manner:
        """The manner of a pass that begins.

        Args:
            now: The one in force.

        Raises:
            MergeMixError: If the pass is repeated, and it is not clear how it ran before.
        """
        if torch.compiler.is_compiling():
            return now
        around = list(_checkpoints())
        for kept, again in around:
            known = self._manners(kept)
            if again and len(known) > 1:
                raise unusable(
                    "r",
                    "got several settings inside one checkpoint, which runs the model again, wanted one setting; use "
                    "one checkpoint per setting, or the model's set_grad_checkpointing(True)",
                )
            if again and known:
                (now,) = known
                break
        for kept, again in around:
            if not again:
                self._manners(kept).add(now)
        return now

    def _manners(self, kept: Any) -> set[Manner]:
        if not hasattr(kept, MANNERS):
            setattr(kept, MANNERS, WeakKeyDictionary())
        manners: set[Manner] = getattr(kept, MANNERS).setdefault(self, set())
        return manners


def _checkpoints() -> Iterator[tuple[Any, bool]]:
    """The checkpoints that the caller runs in, the innermost one first.

    Yields:
        What torch keeps for the checkpoint until the backward pass, and whether that is under way. Nothing tells of it
        but the frames of torch's functions.
    """
    frame: Any = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename == checkpoint.__file__:
            known, name = frame.f_locals, frame.f_code.co_name
            if "ctx" in known and name in ("forward", "backward"):  # reentrant
                yield known["ctx"], name == "backward"
            elif "gen" in known and known["gen"].gi_frame is not None:
                kept = known["gen"].gi_frame.f_locals.get("new_frame")
                if kept is not None:
                    yield kept, False
            elif name == "unpack_hook" and "frame" in known:
                yield known["frame"], True
        frame = frame.f_back


def in_order() -> str:
    """What to do where a block does not run after the one before it."""
    if not torch.compiler.is_compiling() and _in_backward():
        return (
            "a checkpoint around single blocks runs them again in the backward pass, without the others; use the "
            "model's set_grad_checkpointing(True), or one checkpoint around all blocks"
        )
    return (
        "the blocks of a patched model must run in order, from the first one; unpatch the model and patch it again if "
        "some were removed"
    )


def _in_backward() -> bool:
    return torch._C._current_graph_task_id() != -1
