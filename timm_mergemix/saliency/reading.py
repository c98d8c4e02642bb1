"""The attention of one block, or of an attention pool, read from a forward pass that runs anyway."""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ..errors import unusable, wrong
from ..merge.autocast import uncached_autocast
from ..merge.families import Backbone
from ..merge.record import AttentionReader, StopForward
from ..merge.schedule import R

__all__ = ["AttentionReading", "check_left", "source_of"]

Layer = int | str


class AttentionReading:
    """Reads the attention of the pass that this thread runs while the context is open, and ends it there if asked.

    Args:
        backbone: A patched model.
        r: How it merges, for errors.
        layer: Index of a block, or ``"pool"``.
        divide: Whether a merged token's attention is divided among its members.
        stop: Whether the pass ends there, by `StopForward`.

    Attributes:
        reader: Who has to watch the pass.
    """

    def __init__(self, backbone: Backbone, r: R, layer: Layer, divide: bool, stop: bool) -> None:
        self.backbone = backbone
        self.r = r
        self.layer = layer
        self.divide = divide
        self.reader = AttentionReader(None if layer == "pool" else int(layer), stop)
        self.pooled: list[Tensor] = []
        self.handle: RemovableHandle | None = None
        self.before: AttentionReading | None = None

    def __enter__(self) -> None:
        if self.layer == "pool":
            self.before, _HERE.reading = _HERE.reading, self
            pool: Any = self.backbone.pool
            self.handle = pool.register_forward_pre_hook(self._read_pool)

    def __exit__(self, *error: object) -> None:
        if self.handle is not None:
            _HERE.reading = self.before
            self.handle.remove()

    def attention(self) -> Tensor:
        """The attention on the patches, (B, N) float32, once the pass has run."""
        row = self.reader.row
        if row is None and not self.pooled:
            raise unusable("layer", f"{source_of(self.layer)} did not run in the encoder's forward pass")
        if row is None:
            return self.pooled[-1]
        found = row.on_patches(self.divide)
        check_left(row.values.shape[1] - row.prefix_tokens, found.shape[1], self.r, self.layer)
        return found

    def _read_pool(self, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        if not self._is_open():  # another thread runs the same module
            return
        # The casts of a pass that trains must have gradients, not those of this one.
        with torch.no_grad(), uncached_autocast(args[0].device.type):
            self.pooled.append(self.backbone.pool_attention(args[0]))
        if self.reader.stop:
            raise StopForward

    def _is_open(self) -> bool:
        reading = _HERE.reading
        while reading is not None and reading is not self:
            reading = reading.before
        return reading is self


class _Here(threading.local):
    """Who reads an attention pool in this thread."""

    def __init__(self) -> None:
        self.reading: AttentionReading | None = None


_HERE = _Here()


def source_of(layer: Layer) -> str:
    """Whose attention is read, in words."""
    return "the attention pool" if layer == "pool" else f"block {layer}"


def check_left(left: int, patches: int, r: Any, layer: Layer) -> None:
    """Raises if merging leaves nothing to tell one patch from another by."""
    if left < 2 <= patches:
        raise wrong("saliency_r", r, f"an r that leaves more than one of {patches} patches before {source_of(layer)}")
