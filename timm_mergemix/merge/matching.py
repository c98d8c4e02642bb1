"""Which tokens merge: keys -> plan."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import check_choice, check_int, wrong
from .autocast import without_autocast
from .pitome import pitome_margin, pitome_matching
from .plan import MergePlan, check, check_range, cosine, merge_nothing, plan_in_order, prefer_padding

__all__ = [
    "MATCHINGS",
    "MergePlan",
    "bipartite_matching",
    "kth_matching",
    "match",
    "pitome_matching",
    "random_matching",
]

MATCHINGS = ("bipartite", "random", "kth", "pitome")


def match(
    matching: str,
    keys: Tensor,
    r: int,
    prefix_tokens: int = 0,
    padding: Tensor | None = None,
    progress: float = 0.0,
) -> MergePlan:
    """The matching of that name, with its own defaults.

    Args:
        matching: ``"bipartite"``, ``"random"``, ``"kth"`` or ``"pitome"``.
        keys: (B, N, D), the metric, for example keys averaged over heads. Any float dtype; compared in float32.
        r: Tokens to merge, at most half of the N - ``prefix_tokens`` unprotected ones.
        prefix_tokens: Leading tokens that never merge.
        padding: (B, N) bool, True for tokens that stand for no patch.
        progress: Share of the blocks that ran before, from 0 to 1. PiToMe's margin falls with it.

    Raises:
        MergeMixError: If there is no such matching, the progress is no number from 0 to 1, or the matching refuses
            the rest.
    """
    check_choice("matching", matching, MATCHINGS)
    check_range("progress", progress, 0, 1)
    if matching == "pitome":
        return pitome_matching(keys, r, prefix_tokens, padding, pitome_margin(progress))
    if matching == "random":
        return random_matching(keys, r, prefix_tokens, padding)
    return (kth_matching if matching == "kth" else bipartite_matching)(keys, r, prefix_tokens, padding)


@torch.no_grad()
def bipartite_matching(keys: Tensor, r: int, prefix_tokens: int = 0, padding: Tensor | None = None) -> MergePlan:
    """Bipartite soft matching of Bolya et al., "Token Merging: Your ViT but Faster", ICLR 2023 (arXiv 2210.09461).

    The sequence is split by even and odd position into A and B. Each token of A keeps its best edge, by cosine
    similarity, into B; the ``r`` strongest edges merge. Prefix tokens take no part. The new order is: prefix tokens,
    unmerged A in order, B in order.

    Args:
        keys: (B, N, D), the metric, for example keys averaged over heads. Any float dtype; compared in float32.
        r: Tokens to merge, at most half of the N - ``prefix_tokens`` unprotected ones.
        prefix_tokens: Leading tokens that never merge.
        padding: (B, N) bool, True for tokens that stand for no patch. They merge with each other before anything
            else merges, and with patches only where nothing else is left.

    Raises:
        MergeMixError: If the keys are no (B, N, D) floats, the padding no (B, N) booleans, or more shall merge than
            can.
    """
    check(keys, r, prefix_tokens, padding)
    batch, length = keys.shape[:2]
    first_a = prefix_tokens + prefix_tokens % 2
    first_b = prefix_tokens + 1 - prefix_tokens % 2
    with without_autocast(keys.device.type):
        metric = F.normalize(keys.float(), dim=-1)
        scores = torch.bmm(metric[:, first_a::2], metric[:, first_b::2].mT)
    if padding is not None:
        scores = prefer_padding(scores, padding[:, first_a::2], padding[:, first_b::2])
    if scores.shape[2] == 0:  # at most one unprotected token: A has no edges
        scores = scores.new_zeros(batch, scores.shape[1], 1)
    strength, partner = scores.max(dim=-1)
    order = strength.argsort(dim=-1, descending=True)
    in_a = 2 * order + first_a
    unmerged = in_a[:, r:].sort(dim=-1).values

    positions = torch.arange(length, device=keys.device)
    prefix, in_b = positions[:prefix_tokens], positions[first_b::2]
    keep = torch.cat([prefix.expand(batch, -1), unmerged, in_b.expand(batch, -1)], dim=1)
    target = partner.gather(1, order[:, :r]) + (prefix_tokens + unmerged.shape[1])
    return MergePlan(keep, in_a[:, :r], target)


@torch.no_grad()
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
        MergeMixError: If the keys are no (B, N, D) floats, the padding no (B, N) booleans, ``k`` no integer of at
            least 2, or more shall merge than can.
    """
    check(keys, r, prefix_tokens, padding)
    check_int("k", k, 2)
    if r == 0:
        return merge_nothing(keys)
    length = keys.shape[1]
    target = torch.arange(prefix_tokens, length, k, device=keys.device)
    source = torch.arange(length - prefix_tokens - len(target), device=keys.device)
    source = prefix_tokens + source + source // (k - 1) + 1  # what the targets leave between them
    scores = cosine(keys[:, source], keys[:, target])
    if padding is not None:
        scores = prefer_padding(scores, padding[:, source], padding[:, target])
    strength, partner = scores.max(dim=-1)
    merged = strength.argsort(dim=-1, descending=True)[:, :r]
    return plan_in_order(length, source[merged], target[partner.gather(1, merged)])


@torch.no_grad()
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
        MergeMixError: If the keys are no (B, N, D) floats, the padding no (B, N) booleans, the generator none, or
            more shall merge than can.
    """
    check(keys, r, prefix_tokens, padding)
    if generator is not None and not isinstance(generator, torch.Generator):
        raise wrong("generator", generator, "a torch.Generator or None")
    if r == 0:
        return merge_nothing(keys)
    batch, length = keys.shape[:2]
    free = length - prefix_tokens
    if generator is None:  # its own call: torch.compile traces none that names a generator
        rank = torch.rand(batch, free, dtype=torch.float32, device=keys.device)
    else:
        rank = torch.rand(batch, free, generator=generator, dtype=torch.float32, device=generator.device)
        rank = rank.to(keys.device)
    if padding is not None:
        rank = _padding_first(rank, padding[:, prefix_tokens:])
    order = prefix_tokens + rank.argsort(dim=-1, descending=True)
    source, stay = order[:, :r], order[:, r:]
    scores = cosine(keys.take_along_dim(source[..., None], dim=1), keys.take_along_dim(stay[..., None], dim=1))
    if padding is not None:
        scores = prefer_padding(scores, padding.gather(1, source), padding.gather(1, stay))
    return plan_in_order(length, source, stay.gather(1, scores.argmax(dim=-1)))


def _padding_first(rank: Tensor, padding: Tensor) -> Tensor:
    """Ranks in [0, 1) with all padding but its lowest above them, and that one below."""
    lowest = rank.masked_fill(~padding, torch.inf).amin(dim=-1, keepdim=True)
    return (rank + padding).masked_fill(padding & (rank == lowest), -1)
