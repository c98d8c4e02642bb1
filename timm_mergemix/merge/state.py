"""What the blocks of a patched model share: how they merge. What one pass carries is in `passes.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .passes import Here, Pass
from .recompute import Checkpointed
from .record import Observer
from .schedule import parse
from .scopes import Scope, scopes_of
from .settings import Layout, Settings

__all__ = ["Merging"]


class Merging:
    """Shared by all blocks of a patched model, and by all threads; no pass writes to it.

    It is not a module, so that the children of a patched model are what they were.

    Args:
        settings: How to merge.
        depth: Number of blocks.
        layout: Which tokens may merge.
        in_model: Whether the model around the blocks is patched too, or only the blocks.

    Attributes:
        adapters: Whether something between the blocks changes tokens, each in its place.
        recovering: Whether all tokens are recovered after the last block. False if their reader takes merged tokens.
        checkpointing: Whether blocks recompute their activations in the backward pass.
        complete: Whether all blocks are patched. False only while they are being patched or unpatched, and after an
            interrupted patch or unpatch.
        temporary: Whether a context has patched the model, which is then unpatched when its last context closes.
        contexts: Number of such contexts that are open.
        generation: How often the model has been patched anew; contexts of an earlier generation set nothing.
        observer: Watches all passes in all threads; only for a model that no other code can see.
        generator: What matchings draw from; None for torch's global generator.
    """

    def __init__(self, settings: Settings, depth: int, layout: Layout, in_model: bool = True) -> None:
        self.settings = settings
        self.depth = depth
        self.layout = layout
        self.in_model = in_model
        self.adapters = False
        self.recovering = True
        self.checkpointing = False
        self.complete = False
        self.temporary = False
        self.contexts = 0
        self.generation = 0
        self.observer: Observer | None = None
        self.generator: torch.Generator | None = None
        self.here = Here()
        self.checkpointed = Checkpointed()

    def __getstate__(self) -> dict[str, Any]:
        # Copies and pickles are models of their own: no pass is under way in them, and no context is open.
        left_out = dict.fromkeys(("here", "checkpointed", "observer", "generator"))
        return self.__dict__ | left_out | {"contexts": 0, "temporary": False}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, here=Here(), checkpointed=Checkpointed())

    def __repr__(self) -> str:
        given = self.settings
        return f"Merging(r={given.schedule.r}, prop_attn={given.prop_attn}, matching={given.matching!r})"

    @property
    def settings_here(self) -> Settings:
        """The settings of a pass that begins now in this thread and task."""
        return self._settings_in(scopes_of(self))

    def scope(self, settings: Settings | None = None, observer: Observer | None = None) -> Scope:
        """A context in which passes of this thread or task merge by other settings, or are watched."""
        return Scope(self, self.generation, settings, observer)

    def patch_anew(self, settings: Settings) -> None:
        """Sets new settings for all threads. Settings of contexts that are already open no longer apply."""
        self.temporary = False
        self.generation += 1
        self.settings = settings

    def retire(self) -> None:
        """Nothing merges any more, so that a model runs as before while its blocks are unpatched one by one."""
        self.complete = False
        self.patch_anew(replace(self.settings, schedule=parse(0, self.depth)))

    def begin(self, inherited: Sequence[Scope] = (), depth: int | None = None, **flags: bool) -> Pass:
        """A new pass.

        Args:
            inherited: Scopes of the thread that has started this one.
            depth: Number of blocks that will run; all of them if None.
            **flags: See `Pass`.
        """
        scopes = (*inherited, *scopes_of(self))
        observer = self._observer_in(scopes)
        watcher = None if observer is None else observer.watch()
        settings = self._settings_in(scopes)
        depth = self.depth if depth is None else depth
        return Pass(
            settings, self.layout, watcher, depth, lenient=self.adapters, checkpointed=self.checkpointed, **flags
        )

    def pass_for(self, index: int, inherited: Sequence[Scope] = ()) -> Pass:
        """The pass of this thread in which block ``index`` runs: the one under way, or one that begins."""
        current = self.here.current
        if current is None or current.is_over(index):
            current = self.here.current = self.begin(inherited)
        if index == 0:
            current.valid, self.here.valid = self.here.valid, None
        return current

    def take_padding(self, patch_valid: Tensor | None) -> None:
        """Says, before the first block runs, which tokens are padding: (B, N) bool, False for padding."""
        prefix = self.layout.prefix_tokens
        self.here.valid = None if patch_valid is None else F.pad(patch_valid.float(), (prefix, 0), value=1.0)

    def _observer_in(self, scopes: Sequence[Scope]) -> Observer | None:
        for scope in reversed(scopes):  # not `next` with a default: the compiler of torch 2.6 does not know it
            if scope.observer is not None:
                return scope.observer
        return self.observer

    def _settings_in(self, scopes: Sequence[Scope]) -> Settings:
        for scope in reversed(scopes):
            if scope.settings is not None and scope.generation == self.generation:
                return scope.settings
        return self.settings
