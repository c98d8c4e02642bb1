"""Bipartite soft matching, as token merging was published."""

from __future__ import annotations

import torch
from torch import Tensor

from .pass_plan import PassPlan, make_plan
from .plan import MergePlan, check, first, of_length, prefer_padding, strongest_first
from .similarity import cosines, directions

__all__ = ["bipartite_matching", "plan_bipartite"]


def bipartite_matching(keys: Tensor, r: int, prefix_tokens: int = 0, padding: Tensor | None = None) -> MergePlan:
    """Bipartite soft matching of Bolya et al., "Token Merging: Your ViT but Faster", ICLR 2023 (arXiv 2210.09461).

    The sequence is split by even and odd position into A and B. Each token of A keeps its best edge into B, by
    cosine similarity; the ``r`` strongest edges merge. Prefix tokens take no part. The new order is: prefix tokens,
    unmerged A in order, B in order.

    Args:
        keys: (B, N, D), the metric, for example keys averaged over heads. Any float dtype; compared in float32.
        r: Tokens to merge, at most half of the N - ``prefix_tokens`` unprotected ones.
        prefix_tokens: Leading tokens that never merge.
        padding: (B, N) bool, True for tokens that stand for no patch. They merge with each other before anything
            else merges, and with patches only where nothing else is left.

    Raises:
        MergeMixError: If the keys are not floats of shape (B, N, D), the padding is not bool of shape (B, N), or more
            tokens are to merge than can.
    """
    check(keys, r, prefix_tokens, padding)
    return plan_bipartite(keys, r, prefix_tokens, padding).public()


def plan_bipartite(
    keys: Tensor, r: int, prefix_tokens: int, padding: Tensor | None, numbers: Tensor | None = None
) -> PassPlan:
    """`bipartite_matching` without its checks, for the forward pass, which may have `shared_numbers`."""
    batch, length = keys.shape[:2]
    first_a = prefix_tokens + prefix_tokens % 2
    first_b = prefix_tokens + 1 - prefix_tokens % 2
    metric = directions(keys.detach())
    scores = cosines(metric[:, first_a::2], metric[:, first_b::2])
    if padding is not None:
        scores = prefer_padding(scores, padding[:, first_a::2], padding[:, first_b::2])
    if scores.shape[2] == 0:  # at most one unprotected token: A has no edges
        scores = scores.new_zeros(batch, scores.shape[1], 1)
    strength, partner = scores.max(dim=-1)
    order = strongest_first(strength)
    # Positions in A -> positions in the sequence: first_a + 2 * position, in one kernel.
    source, rest = first(torch.rsub(order, first_a, alpha=-2), r)
    unmerged = rest.sort(dim=-1).values

    positions = torch.arange(length, device=keys.device) if numbers is None else numbers
    prefix, in_b = positions[:prefix_tokens], positions[first_b:length:2]
    new_order = torch.cat([prefix.expand(batch, -1), unmerged, in_b.expand(batch, -1), source], dim=1)
    partner = partner.gather(1, first(order, r)[0])
    return make_plan(of_length(new_order, length), partner, prefix_tokens + unmerged.shape[1], numbers)
