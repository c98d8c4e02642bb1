"""The matching that protects tokens unlike all others."""

from __future__ import annotations

import torch
from torch import Tensor

from ..tracing import may_merge, writes_onnx
from .plan import (
    MergePlan,
    check,
    check_range,
    cosine,
    first,
    merge_nothing,
    plan_in_order,
    prefer_padding,
    strongest_first,
    take_rows,
)

__all__ = ["pitome_margin", "pitome_matching"]


def pitome_margin(progress: float) -> float:
    """The margin falls linearly with depth, from 0.9 to 0.

    Args:
        progress: Share of the blocks that ran before, from 0 to 1.
    """
    return 0.9 - 0.9 * progress


def pitome_matching(
    keys: Tensor, r: int, prefix_tokens: int = 0, padding: Tensor | None = None, margin: float = 0.9
) -> MergePlan:
    """PiToMe of Tran et al., "Accelerating Transformers with Spectrum-Preserving Token Merging" (arXiv 2405.16148).

    NeurIPS 2024. A token's energy is the mean of f(cosine) to all other unprotected tokens; f(x) is x from the margin
    on and exp(x - margin) - 1 below it (the paper's alpha is 1). It is high in large clusters of similar tokens, low
    for tokens unlike all others. The 2r tokens of highest energy may merge, all others are protected. By falling
    energy they go to A and to B in turn; each of A merges into its most similar of B. Kept tokens stay in order.

    Args:
        keys: (B, N, D), the metric, for example keys averaged over heads. Any float dtype; compared in float32.
        r: Tokens to merge, at most half of the N - ``prefix_tokens`` unprotected ones.
        prefix_tokens: Leading tokens that never merge and count in no energy.
        padding: (B, N) bool, True for tokens that stand for no patch. They merge first, with each other where there
            are two or more, and count in no energy.
        margin: The cosine from which on tokens count as similar. In the paper it falls with depth, see
            ``pitome_margin``.

    Raises:
        MergeMixError: If the keys are not floats of shape (B, N, D), the padding is not bool of shape (B, N), the
            margin is not a number from -1 to 1, or more tokens are to merge than can.
    """
    check(keys, r, prefix_tokens, padding)
    check_range("margin", margin, -1, 1)
    if not may_merge(r):
        return merge_nothing(keys)
    free = keys.detach()[:, prefix_tokens:]
    pad = None if padding is None else padding[:, prefix_tokens:]
    similarity = cosine(free, free)
    mergeable, _ = first(strongest_first(_energy(similarity, margin, pad)), 2 * r)
    a, b = mergeable.reshape(keys.shape[0], r, 2).unbind(dim=2)
    scores = take_rows(similarity, a).gather(2, b.unsqueeze(1).expand(-1, r, -1))
    if pad is not None:
        scores = prefer_padding(scores, pad.gather(1, a), pad.gather(1, b))
    partner = b.gather(1, scores.argmax(dim=-1))
    return plan_in_order(keys.shape[1], prefix_tokens + a, prefix_tokens + partner)


def _energy(similarity: Tensor, margin: float, padding: Tensor | None) -> Tensor:
    """Energies from (B, N, N) cosines and (B, N) padding: (B, N), as sums, which sort as the means do."""
    terms = torch.where(similarity >= margin, similarity, _expm1(similarity - margin))
    positions = torch.arange(similarity.shape[1], device=similarity.device)
    alone = positions == positions.unsqueeze(1)
    if padding is None:
        return terms.masked_fill(alone, 0).sum(dim=-1)
    energy = terms.masked_fill(alone | padding[:, None], 0).sum(dim=-1)
    return energy.masked_fill(padding, torch.inf)


def _expm1(x: Tensor) -> Tensor:
    return x.exp() - 1 if writes_onnx() else x.expm1()
