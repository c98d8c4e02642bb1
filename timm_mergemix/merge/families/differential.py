"""Differential attention: the difference of two softmaxes (Ye et al., "Differential Transformer", arXiv 2410.05258)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import timm.layers
import timm.models.vision_transformer
import torch
from torch import Tensor, nn

from ..blocks import Context, MergingBlock
from .keys import KeyedBlock, captured_keys, mean_key

__all__ = ["BLOCKS", "DIFFERENTIAL", "heads_of", "weigh_differences"]

# Both came with timm 1.0.24.
DiffAttention: Any = getattr(timm.layers, "DiffAttention", None)
DiffParallelScalingBlock: Any = getattr(timm.models.vision_transformer, "DiffParallelScalingBlock", None)

DIFFERENTIAL: tuple[type[nn.Module], ...] = () if DiffAttention is None else (DiffAttention,)


def heads_of(attn: nn.Module) -> int:
    """Number of softmaxes: two a head in differential attention."""
    return attn.num_heads * (2 if isinstance(attn, DIFFERENTIAL) else 1)  # type: ignore[return-value, operator]


def weigh_differences(attns: Sequence[nn.Module], attention: Tensor) -> Tensor:
    """Attention of one or more modules: (B, H, Q, N) as softmaxes, as it counts. A negative difference counts as none.

    Args:
        attns: Modules of one kind, the heads of one after those of the other.
        attention: (B, H, Q, N), the softmaxes of all; of differential attention two a head, side by side.
    """
    if not isinstance(attns[0], DIFFERENTIAL):
        return attention
    parts = [differences(a, part) for a, part in zip(attns, attention.chunk(len(attns), dim=1), strict=True)]
    return torch.cat(parts, dim=1)


def differences(attn: Any, attention: Tensor) -> Tensor:
    """(B, 2 H, Q, N) -> (B, H, Q, N)."""
    first, second = attention.unflatten(1, (-1, 2)).unbind(dim=2)
    return (first - attn._compute_lambda().float() * second).clamp_min(0.0)


BLOCKS: dict[type[nn.Module], type[MergingBlock]] = {}

if DiffParallelScalingBlock is not None:

    class MergingDiffParallelScalingBlock(KeyedBlock, DiffParallelScalingBlock):
        """`timm.models.vision_transformer.DiffParallelScalingBlock` that merges at its end, its MLP runs beside."""

        in_norm: nn.Module
        in_proj: nn.Linear
        in_split: list[int]
        k_norm: nn.Module
        q_norm: nn.Module
        num_heads: int
        scale: float

        @classmethod
        def key_modules(cls, block: Any) -> list[nn.Module]:
            return [block.k_norm]

        def attention_branch(self, x: Tensor, context: Context) -> tuple[Tensor, Tensor | None]:
            with captured_keys(self, self.k_norm) as keys:
                out = DiffParallelScalingBlock.forward(self, x, attn_mask=context.bias)
            return out - x, mean_key(keys)

        def mlp_branch(self, x: Tensor) -> None:
            """None: the attention branch holds the MLP too."""

        def query_key(self, x: Tensor, queries: slice, context: Context) -> tuple[Tensor, Tensor, float]:
            _, query, key, _ = torch.split(self.in_proj(self.in_norm(x)), self.in_split, dim=-1)
            query, key = (part.unflatten(-1, (2 * self.num_heads, -1)).transpose(1, 2) for part in (query, key))
            return self.q_norm(query[:, :, queries]), self.k_norm(key), self.scale

        def weigh_attention(self, x: Tensor, queries: slice, context: Context) -> Tensor:
            return differences(self, super().weigh_attention(x, queries, context))

    BLOCKS[DiffParallelScalingBlock] = MergingDiffParallelScalingBlock
