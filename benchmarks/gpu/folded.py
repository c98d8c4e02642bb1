"""A prototype: the log-size bias in extra dimensions of queries and keys, where a mask would rule out flash attention.

Wu et al., "FlashBias: Fast Computation of Attention with Bias", NeurIPS 2025 (arXiv 2505.12044).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..records import Record

__all__ = ["accuracy", "fold", "folding", "masked"]

WIDTH = 8  # a head's width must be a multiple of it
Attention = Callable[..., Tensor]


def fold(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, parts: int = 2) -> Tensor:
    """Attention with a bias on each key, without a mask.

    Args:
        query: (B, H, N, D).
        key: (B, H, N, D).
        value: (B, H, N, D).
        bias: (B, N), what is added to the logits; more exact than the queries where there are two parts.
        parts: In how many numbers of the keys' dtype the bias is kept: 1, or 2, a high and a low part.

    Returns:
        (B, H, N, D).
    """
    batch, heads, length, width = key.shape
    scale = width**-0.5
    wide = bias.to(torch.promote_types(bias.dtype, torch.float32)) / scale
    extra = key.new_zeros(batch, heads, length, WIDTH)
    rest = wide
    for part in range(parts):
        high = rest.to(key.dtype)
        extra[..., part] = high[:, None]
        rest = rest - high
    ones = torch.zeros_like(extra)
    ones[..., :parts] = 1
    padded = F.pad(value, (0, WIDTH))  # flash attention wants values as wide as keys
    folded = SDPA(torch.cat([query, ones], dim=-1), torch.cat([key, extra], dim=-1), padded, scale=scale)
    return folded[..., :width]


def masked(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """The same by an additive mask in the queries' dtype; arguments as for `fold`."""
    return SDPA(query, key, value, attn_mask=bias.to(query.dtype)[:, None, None])


SDPA: Attention = F.scaled_dot_product_attention


@contextmanager
def folding() -> Iterator[None]:
    """Attention inside folds each mask of shape (B, 1, 1, N). The mask is rounded already, so one part holds it."""

    def attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, **rest: Any) -> Tensor:
        if attn_mask is None or attn_mask.shape[1:3] != (1, 1):
            return SDPA(query, key, value, attn_mask=attn_mask, **rest)
        return fold(query, key, value, attn_mask[:, 0, 0], parts=1)

    F.scaled_dot_product_attention = attention  # type: ignore[assignment]
    try:
        yield
    finally:
        F.scaled_dot_product_attention = SDPA


def accuracy(device: torch.device, length: int = 197, seeds: int = 3) -> Iterator[Record]:
    """The largest error of each way against float64, for attention on merged tokens of random sizes."""
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        worst: dict[str, float] = {}
        for seed in range(seeds):
            generator = torch.Generator().manual_seed(seed)
            exact = [torch.randn(4, 12, length, 64, generator=generator, dtype=torch.float64) for _ in range(3)]
            bias = torch.randint(1, 30, (4, length), generator=generator).double().log().to(device)
            query, key, value = (tensor.to(device, dtype) for tensor in exact)
            wanted = masked(query.double(), key.double(), value.double(), bias)
            found = {
                "mask": masked(query, key, value, bias),
                "one dimension": fold(query, key, value, bias, parts=1),
                "two dimensions": fold(query, key, value, bias, parts=2),
            }
            for name, attention in found.items():
                worst[name] = max(worst.get(name, 0.0), (attention.double() - wanted).abs().max().item())
        for name, error in worst.items():
            yield {"kind": "accuracy", "row": f"{length} tokens, {str(dtype)[6:]}", "arm": name, "error": error}
