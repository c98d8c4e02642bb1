"""Positions of merged tokens."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["merge_rope"]


def merge_rope(rope: Tensor, source: Tensor | None, size: Tensor | None, prefix_tokens: int) -> Tensor:
    """Rotary embeddings of merged tokens: the mean of their members' sines and cosines, not renormalised.

    The mean key of the members, each rotated by its own position, is exactly the key rotated by that mean.

    Args:
        rope: (N, D), (H, N, D), (B, 1, N, D) or (B, H, N, D), of the original patch tokens.
        source: (B, prefix_tokens + N) int64, original token -> token; None where nothing has merged.
        size: (B, prefix_tokens + K) float32, patches per token; None where nothing has merged.
        prefix_tokens: Leading tokens that have no position.

    Returns:
        ``rope`` itself where nothing has merged, else (B, 1 or H, K, D) in its dtype.
    """
    if source is None or size is None:
        return rope
    patches, sizes = source[:, prefix_tokens:] - prefix_tokens, size[:, prefix_tokens:]
    rows = rope.float()[(None,) * (4 - rope.ndim)].expand(len(source), -1, -1, -1)
    index = patches[:, None, :, None].expand_as(rows)
    total = torch.zeros(*rows.shape[:2], sizes.shape[1], rows.shape[3], dtype=torch.float32, device=rope.device)
    return (total.scatter_add(2, index, rows) / sizes[:, None, :, None]).to(rope.dtype)
