"""Positions of merged tokens."""

from __future__ import annotations

import torch
from torch import Tensor

from ..autocast import without_autocast
from ..matching.tokens import members
from ..tracing import writes_onnx

__all__ = ["merge_bias", "merge_rope"]


def merge_rope(
    rope: Tensor, source: Tensor | None, size: Tensor | None, prefix_tokens: int, valid: Tensor | None = None
) -> Tensor:
    """Rotary embeddings of merged tokens: the mean of their members' sines and cosines, not renormalised.

    The mean key of the members, each rotated by its own position, is exactly the key rotated by that mean.

    Args:
        rope: (N, D), (H, N, D), (B, 1, N, D) or (B, H, N, D), of the original patch tokens.
        source: (B, prefix_tokens + N) int64, original token -> token; None if nothing has merged.
        size: (B, prefix_tokens + K) float32, patches per token; None if nothing has merged.
        prefix_tokens: Leading tokens that have no position.
        valid: (B, prefix_tokens + N) float32, 0 for padding, which has no position either; None if there is none.

    Returns:
        ``rope`` itself where nothing has merged, else (B, 1 or H, K, D) in its dtype.
    """
    if source is None or size is None:
        return rope
    patches, sizes = source[:, prefix_tokens:] - prefix_tokens, size[:, prefix_tokens:]
    rows = rope.float()[(None,) * (4 - rope.ndim)].expand(source.shape[0], -1, -1, -1)
    if valid is not None:
        rows = rows * valid[:, None, prefix_tokens:, None]
    if writes_onnx():
        total = members(patches, sizes.shape[1]).unsqueeze(1) @ rows
    else:
        index = patches[:, None, :, None].expand_as(rows)
        total = torch.zeros(*rows.shape[:2], sizes.shape[1], rows.shape[3], dtype=torch.float32, device=rope.device)
        total = total.scatter_add(2, index, rows)
    return (total / sizes.clamp_min(1.0)[:, None, :, None]).to(rope.dtype)


def merge_bias(bias: Tensor, source: Tensor, size: Tensor, proportional: bool = True) -> Tensor:
    """Relative position bias of merged tokens: logsumexp over the members of a key, mean over the members of a query.

    The logsumexp contains the log-size of proportional attention. Over keys it is exact: softmax over the merged keys
    gives each the weight that its members have together. What lies more than 87 below the highest bias of its query
    counts as 87 below: nothing, after the softmax.

    Args:
        bias: (H, N, N) or (1, H, N, N), added to the logits of the original tokens, prefix tokens counted.
        source: (B, N) int64, original token -> token.
        size: (B, K) float32, original tokens per token.
        proportional: False takes the log-size out again, so that each token counts once.

    Returns:
        (B, H, K, K) in ``bias``'s dtype.
    """
    with without_autocast(bias.device.type):
        belongs = torch.zeros(*source.shape, size.shape[1], dtype=torch.float32, device=bias.device)
        belongs = belongs.scatter(2, source.unsqueeze(-1), 1.0).unsqueeze(1)  # (B, 1, N, K)
        logits = bias.float().reshape(1, *bias.shape[-3:])
        highest = logits.amax(dim=-1, keepdim=True).detach()
        keys = (logits - highest).exp() @ belongs
        keys = keys.clamp_min(torch.finfo(torch.float32).tiny).log() + highest
        merged = (belongs / size[:, None, None]).transpose(2, 3) @ keys
        if not proportional:
            merged = merged - size.log()[:, None, None]
    return merged.to(bias.dtype)
