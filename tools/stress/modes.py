"""Checks that training always runs in train mode."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


class Modes(threading.local):
    """Counts the forward passes of one thread in which a module was in eval mode. Other threads are not counted."""

    def __init__(self) -> None:
        self.evaluated = 0
        self._watching = False
        self._eval_seen = False

    def watch(self, model: nn.Module) -> None:
        """Checks the mode of the linear modules of a model whenever they run."""
        for module in model.modules():
            if isinstance(module, nn.Linear):
                module.register_forward_pre_hook(self._look)

    @contextmanager
    def watched(self, on: bool = True) -> Iterator[None]:
        """Counts everything that runs inside as one forward pass."""
        self._watching, self._eval_seen = on, False
        try:
            yield
        finally:
            self.evaluated += self._eval_seen
            self._watching = False

    def _look(self, module: nn.Module, args: Any) -> None:
        if self._watching and not module.training:
            self._eval_seen = True
