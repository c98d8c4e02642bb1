"""What can be read from a forward pass: source maps, sizes, attention."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from .autocast import without_autocast
from .matching.tokens import recover

__all__ = ["AttentionReader", "AttentionRow", "LayerRecord", "Observer", "Recording", "StopForward", "Watcher"]


@dataclass(frozen=True)
class AttentionRow:
    """How much attention each token gets in one block: from the class token, else from the patch tokens on average.

    Attributes:
        values: (B, K) float32 over the tokens that enter the block, mean over heads, sums to 1 with prefix tokens.
        size: (B, K) float32, their sizes; None if nothing has merged.
        source: (B, N) int64, their source map; None if nothing has merged.
        prefix_tokens: Leading tokens that are not patches.
        suffix_tokens: Trailing tokens that are not patches.
    """

    values: Tensor
    size: Tensor | None
    source: Tensor | None
    prefix_tokens: int
    suffix_tokens: int = 0

    def on_patches(self, divide: bool = True) -> Tensor:
        """Recovers the attention of the patches, (B, N - prefix_tokens - suffix_tokens).

        Args:
            divide: A merged token's attention already sums over its members, so each gets its share. False copies it
                whole to each member, as published MergeMix code does.
        """
        values = self.values
        if self.source is not None and self.size is not None:
            values = values / self.size.clamp_min(1.0) if divide else values  # padding has neither size nor attention
            values = recover(values, self.source)
        return values[:, self.prefix_tokens : values.shape[1] - self.suffix_tokens]


class Watcher(Protocol):
    """Gets told what one forward pass does."""

    def wants_attention(self, index: int) -> bool:
        """Whether to compute the attention of block ``index``."""

    def on_attention(self, index: int, row: AttentionRow) -> None:
        """Takes the attention of block ``index``, before the block runs."""

    def on_block(self, index: int, size: Tensor, source: Tensor) -> None:
        """Takes sizes and source map as they leave block ``index``."""


class Observer(Protocol):
    """Who watches forward passes."""

    def watch(self) -> Watcher | None:
        """The watcher of the pass that begins, or None."""


@dataclass
class LayerRecord:
    """One block of one forward pass. All tensors are detached.

    Attributes:
        source: (B, N) int64, for each token that entered the first block the token it is in after this block.
        size: (B, K) float32, how many of them each token stands for after this block.
        attention: (B, N - prefix tokens) float32, the attention that each patch gets in this block, recovered from the
            tokens that entered it; None if it was not asked for.
    """

    source: Tensor
    size: Tensor
    attention: Tensor | None = None


@dataclass
class Recording:
    """What ``timm_mergemix.record`` keeps: a list of blocks for each forward pass.

    Attributes:
        forwards: For each forward pass, a `LayerRecord` for each block that it ran.
        attention: Whether attention is recorded.
    """

    attention: bool = True
    forwards: list[list[LayerRecord]] = field(default_factory=list)

    @property
    def layers(self) -> list[LayerRecord]:
        """The blocks of the last forward pass."""
        return self.forwards[-1] if self.forwards else []

    def watch(self) -> Watcher:
        """A watcher that starts a new list of blocks for the pass that begins."""
        return _LayerRecorder(self)


class _LayerRecorder:
    """Fills the list of one forward pass, so that passes inside each other do not mix.

    Args:
        recording: Where the list belongs.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.layers: list[LayerRecord] = []
        self.pending: Tensor | None = None

    def wants_attention(self, index: int) -> bool:
        """Whether attention is recorded; it is the same for all blocks."""
        return self.recording.attention

    def on_attention(self, index: int, row: AttentionRow) -> None:
        """Keeps the attention until the sizes of the same block come."""
        self.pending = row.on_patches()

    def on_block(self, index: int, size: Tensor, source: Tensor) -> None:
        """Adds the record of the block."""
        if not self.layers or index == 0:  # the same blocks may run more than once in a pass
            self.layers = []
            self.recording.forwards.append(self.layers)
        self.layers.append(LayerRecord(source.detach(), size.detach(), self.pending))
        self.pending = None


class StopForward(Exception):  # noqa: N818 - a signal, not an error
    """Ends a forward pass early: what it was run for has been read."""


class AttentionReader:
    """Reads the attention of one block in the first pass that begins; those inside that one are not read.

    Args:
        layer: Index of the block; None reads nothing.
        stop: Whether the forward pass ends there.
    """

    def __init__(self, layer: int | None, stop: bool = True) -> None:
        self.layer = layer
        self.stop = stop
        self.row: AttentionRow | None = None
        self.watching = False

    def watch(self) -> Watcher | None:
        """This reader itself for the first pass, and None for passes inside it."""
        if self.watching:
            return None
        self.watching = True
        return self

    def wants_attention(self, index: int) -> bool:
        """Whether this is the block to read."""
        return index == self.layer

    def on_attention(self, index: int, row: AttentionRow) -> None:
        """Keeps the attention, and ends the pass if asked to."""
        self.row = row
        if self.stop:
            raise StopForward

    def on_block(self, index: int, size: Tensor, source: Tensor) -> None:
        """Ignores sizes and source map, since only attention is read."""


@torch.no_grad()
def softmax_attention(query: Tensor, key: Tensor, scale: float, bias: Tensor | None) -> Tensor:
    """Attention weights of a few queries.

    Args:
        query: (B, H, Q, D).
        key: (B, H, K, D).
        scale: Factor on the logits.
        bias: What is added to the logits, broadcastable to (B, H, Q, K), or None.

    Returns:
        (B, H, Q, K) float32, rows sum to 1.
    """
    with without_autocast(query.device.type):
        logits = (query.float() * scale) @ key.float().mT
        return (logits if bias is None else logits + bias.float()).softmax(dim=-1)


@torch.no_grad()
def mean_attention(attention: Tensor, weights: Tensor | None) -> Tensor:
    """Attention that each token gets, averaged over heads and queries.

    Args:
        attention: (B, H, Q, K) float32.
        weights: (B, Q), how many patches each query stands for; None if each stands for one.

    Returns:
        (B, K) float32.
    """
    with without_autocast(attention.device.type):
        attention = attention.mean(dim=1)
        if weights is None:
            return attention.mean(dim=1)
        return (weights.unsqueeze(1) @ attention).squeeze(1) / weights.sum(dim=1, keepdim=True).clamp_min(1.0)
