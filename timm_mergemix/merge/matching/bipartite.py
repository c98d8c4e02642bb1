"""Bipartite soft matching, as token merging was published."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..autocast import without_autocast
from .plan import MergePlan, check, first, of_length, prefer_padding, strongest_first

__all__ = ["bipartite_matching"]


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
    keys = keys.detach()
    batch, length = keys.shape[:2]
    first_a = prefix_tokens + prefix_tokens % 2
    first_b = prefix_tokens + 1 - prefix_tokens % 2
    with without_autocast(keys.device.type):
        metric = F.normalize(keys.float(), dim=-1)
        scores = torch.bmm(metric[:, first_a::2], metric[:, first_b::2].transpose(1, 2))
    if padding is not None:
        scores = prefer_padding(scores, padding[:, first_a::2], padding[:, first_b::2])
    if scores.shape[2] == 0:  # at most one unprotected token: A has no edges
        scores = scores.new_zeros(batch, scores.shape[1], 1)
    strength, partner = scores.max(dim=-1)
    order = strongest_first(strength)
    # Positions in A -> positions in the sequence: first_a + 2 * position, in one kernel.
    source, rest = first(torch.rsub(order, first_a, alpha=-2), r)
    unmerged = rest.sort(dim=-1).values

    positions = torch.arange(length, device=keys.device)
    prefix, in_b = positions[:prefix_tokens], positions[first_b::2]
    keep = torch.cat([prefix.expand(batch, -1), unmerged, in_b.expand(batch, -1)], dim=1)
    target = partner.gather(1, first(order, r)[0]) + (prefix_tokens + unmerged.shape[1])
    return MergePlan(of_length(keep, length - r), source, target)
