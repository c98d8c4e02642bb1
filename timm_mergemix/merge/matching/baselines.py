"""Matchings to compare others with: every k-th token as a target, and tokens drawn at random."""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import check_int, wrong
from ..tracing import may_merge
from .plan import (
    MergePlan,
    check,
    cosine,
    first,
    merge_nothing,
    plan_in_order,
    prefer_padding,
    strongest_first,
    take_rows,
)

__all__ = ["kth_matching", "random_matching"]


def kth_matching(keys: Tensor, r: int, prefix_tokens: int = 0, padding: Tensor | None = None, k: int = 3) -> MergePlan:
    """Every k-th unprotected token is a target, from the first on; all others may merge into one.

    Each of the others keeps its best edge, by cosine similarity; the ``r`` strongest edges merge. Kept tokens stay in
    their order. Fewer targets, evenly spread over the image, give larger clusters than bipartite matching does.

    Args:
        keys: (B, N, D), the metric, for example keys averaged over heads. Any float dtype; compared in float32.
        r: Tokens to merge, at most half of the N - ``prefix_tokens`` unprotected ones.
        prefix_tokens: Leading tokens that never merge.
        padding: (B, N) bool, True for tokens that stand for no patch. They merge with each other before anything
            else merges, and with patches only where nothing else is left.
        k: Distance between targets, at least 2.

    Raises:
        MergeMixError: If the keys are not floats of shape (B, N, D), the padding is not bool of shape (B, N), ``k`` is
            not an integer of at least 2, or more tokens are to merge than can.
    """
    check(keys, r, prefix_tokens, padding)
    check_int("k", k, 2)
    if not may_merge(r):
        return merge_nothing(keys)
    keys = keys.detach()
    length = keys.shape[1]
    target = torch.arange(prefix_tokens, length, k, device=keys.device)
    source = torch.arange(length - prefix_tokens - target.shape[0], device=keys.device)
    source = prefix_tokens + source + source // (k - 1) + 1  # what the targets leave between them
    scores = cosine(keys[:, source], keys[:, target])
    if padding is not None:
        scores = prefer_padding(scores, padding[:, source], padding[:, target])
    strength, partner = scores.max(dim=-1)
    merged, _ = first(strongest_first(strength), r)
    return plan_in_order(length, source[merged], target[partner.gather(1, merged)])


def random_matching(
    keys: Tensor,
    r: int,
    prefix_tokens: int = 0,
    padding: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> MergePlan:
    """Tokens drawn at random merge into the most similar ones, by cosine, of those that stay. A baseline.

    Every set of ``r`` unprotected tokens is equally likely. Kept tokens stay in their order.

    Args:
        keys: (B, N, D), the metric, for example keys averaged over heads. Any float dtype; compared in float32.
        r: Tokens to merge, at most half of the N - ``prefix_tokens`` unprotected ones.
        prefix_tokens: Leading tokens that never merge.
        padding: (B, N) bool, True for tokens that stand for no patch. They are drawn first, all but one, into which
            the others can merge.
        generator: What is drawn from, on its own device; torch's global generator of the keys' device where None.
            ``torch.compile`` traces no generators.

    Raises:
        MergeMixError: If the keys are not floats of shape (B, N, D), the padding is not bool of shape (B, N), the
            generator is not a torch.Generator, or more tokens are to merge than can.
    """
    check(keys, r, prefix_tokens, padding)
    if generator is not None and not isinstance(generator, torch.Generator):
        raise wrong("generator", generator, "a torch.Generator or None")
    if not may_merge(r):
        return merge_nothing(keys)
    keys = keys.detach()
    batch, length = keys.shape[:2]
    free = length - prefix_tokens
    if generator is None:  # its own call: torch.compile traces none that names a generator
        rank = torch.rand(batch, free, dtype=torch.float32, device=keys.device)
    else:
        rank = torch.rand(batch, free, generator=generator, dtype=torch.float32, device=generator.device)
        rank = rank.to(keys.device)
    if padding is not None:
        rank = _padding_first(rank, padding[:, prefix_tokens:])
    source, stay = first(prefix_tokens + strongest_first(rank), r)
    scores = cosine(take_rows(keys, source), take_rows(keys, stay))
    if padding is not None:
        scores = prefer_padding(scores, padding.gather(1, source), padding.gather(1, stay))
    return plan_in_order(length, source, stay.gather(1, scores.argmax(dim=-1)))


def _padding_first(rank: Tensor, padding: Tensor) -> Tensor:
    """Ranks in [0, 1) with all padding but its lowest above them, and that one below."""
    lowest = rank.masked_fill(~padding, torch.inf).amin(dim=-1, keepdim=True)
    return (rank + padding).masked_fill(padding & (rank == lowest), -1)
