"""The attention of one block, or of an attention pool, read from a forward pass that runs anyway."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import unusable, wrong
from ..merge.autocast import uncached_autocast
from ..merge.families import Backbone
from ..merge.passes import Merging
from ..merge.record import AttentionReader, StopForward

__all__ = ["check_left", "reading_attention", "source_of"]

Layer = int | str


@contextmanager
def reading_attention(
    backbone: Backbone, state: Merging, layer: Layer, divide: bool, stop: bool
) -> Iterator[Callable[[], Tensor]]:
    """Reads the attention of the pass that runs inside, and ends the pass there if asked.

    Args:
        backbone: A patched model.
        state: What its blocks share.
        layer: Index of a block, or ``"pool"``.
        divide: Whether a merged token's attention is shared out among its members.
        stop: Whether the pass ends there, by `StopForward`.

    Yields:
        A function that returns the attention on the patches, (B, N) float32, once the pass has run.
    """
    reader = AttentionReader(None if layer == "pool" else int(layer), stop)
    pooled: list[Tensor] = []
    r = state.settings.schedule.r

    def read_pool(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        # The casts of a pass that trains must have gradients, not those of this one.
        with torch.no_grad(), uncached_autocast(args[0].device.type):
            pooled.append(backbone.pool_attention(args[0]))
        if stop:
            raise StopForward

    def attention() -> Tensor:
        if reader.row is None and not pooled:
            raise unusable("layer", f"{source_of(layer)} did not run in the encoder's forward pass")
        if reader.row is None:
            return pooled[-1]
        found = reader.row.on_patches(divide)
        check_left(reader.row.values.shape[1] - reader.row.prefix_tokens, found.shape[1], r, layer)
        return found

    with ExitStack() as stack:
        stack.enter_context(state.during(observer=reader))
        if layer == "pool":
            pool: Any = backbone.pool
            stack.callback(pool.register_forward_pre_hook(read_pool).remove)
        yield attention


def source_of(layer: Layer) -> str:
    """Whose attention is read, in words."""
    return "the attention pool" if layer == "pool" else f"block {layer}"


def check_left(left: int, patches: int, r: Any, layer: Layer) -> None:
    """Raises if merging leaves nothing to tell one patch from another by."""
    if left < 2 <= patches:
        raise wrong("saliency_r", r, f"one that leaves more than one of {patches} patches before {source_of(layer)}")
