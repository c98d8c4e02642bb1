"""Matchings to compare others with: every k-th token as a target, and tokens drawn at random."""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import check_int, wrong
from ..tracing import may_merge
from .pass_plan import PassPlan, make_plan, merge_nothing, plan_in_order, prefix_first
from .plan import MergePlan, check, first, prefer_padding, strongest_first
from .rows import take_rows
from .similarity import cosines, directions

__all__ = ["check_generator", "kth_matching", "plan_kth", "plan_random", "random_matching"]


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
    return plan_kth(keys, r, prefix_tokens, padding, k=k).public()


def plan_kth(
    keys: Tensor, r: int, prefix_tokens: int, padding: Tensor | None, numbers: Tensor | None = None, k: int = 3
) -> PassPlan:
    """`kth_matching` without its checks, for the forward pass, which may have `shared_numbers`."""
    if not may_merge(r):
        return merge_nothing(keys)
    metric = directions(keys.detach())
    scores = cosines(metric[:, prefix_tokens:], metric[:, prefix_tokens::k])
    if padding is not None:
        scores = prefer_padding(scores, padding[:, prefix_tokens:], padding[:, prefix_tokens::k])
    strength, partner = scores.max(dim=-1)
    strength[:, ::k].fill_(-torch.inf)  # targets merge into nothing
    order = strongest_first(strength)
    source, stay = first(order + prefix_tokens, r)
    # Positions among the targets -> positions in the sequence, in one kernel.
    target = torch.rsub(partner.gather(1, first(order, r)[0]), prefix_tokens, alpha=-k)
    return plan_in_order(prefix_tokens, stay.sort(dim=1).values, source, target, numbers)


def random_matching(
    keys: Tensor,
    r: int,
    prefix_tokens: int = 0,
    padding: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> MergePlan:
    """Tokens drawn at random merge into the most similar ones, by cosine, of those that stay. A baseline.

    Every set of ``r`` unprotected tokens is equally likely. Kept tokens stay in their order; of equally similar ones,
    the first is merged into.

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
    check_generator(generator)
    return plan_random(keys, r, prefix_tokens, padding, generator=generator).public()


def check_generator(generator: torch.Generator | None) -> None:
    """Raises unless it is something that can be drawn from, or None."""
    if generator is not None and not isinstance(generator, torch.Generator):
        raise wrong("generator", generator, "a torch.Generator or None")


def plan_random(
    keys: Tensor,
    r: int,
    prefix_tokens: int,
    padding: Tensor | None,
    numbers: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> PassPlan:
    """`random_matching` without its checks, for the forward pass, which may have `shared_numbers`."""
    if not may_merge(r):
        return merge_nothing(keys)
    rank = _draw(keys, prefix_tokens, generator)
    if padding is not None:
        rank = _padding_first(rank, padding[:, prefix_tokens:])
    source, stay = first(strongest_first(rank) + prefix_tokens, r)
    stay = stay.sort(dim=1).values
    order = prefix_first(prefix_tokens, stay, source, numbers)
    kept = prefix_tokens + stay.shape[1]
    metric = take_rows(directions(keys.detach()), order, numbers)
    scores = cosines(metric[:, kept:], metric[:, prefix_tokens:kept])
    if padding is not None:
        scores = prefer_padding(scores, padding.gather(1, source), padding.gather(1, stay))
    return make_plan(order, scores.argmax(dim=-1), prefix_tokens, numbers)


def _draw(keys: Tensor, prefix_tokens: int, generator: torch.Generator | None) -> Tensor:
    """A number in [0, 1) for each unprotected token of (B, N, D) keys: (B, N - prefix_tokens) float32."""
    batch, free = keys.shape[0], keys.shape[1] - prefix_tokens
    if generator is None:  # its own call: torch.compile traces none that names a generator
        return torch.rand(batch, free, dtype=torch.float32, device=keys.device)
    rank = torch.rand(batch, free, generator=generator, dtype=torch.float32, device=generator.device)
    return rank.to(keys.device)


def _padding_first(rank: Tensor, padding: Tensor) -> Tensor:
    """Ranks in [0, 1) with all padding but its lowest above them, and that one below."""
    lowest = rank.masked_fill(~padding, torch.inf).amin(dim=-1, keepdim=True)
    return (rank + padding).masked_fill(padding & (rank == lowest), -1)
