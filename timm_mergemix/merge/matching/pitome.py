"""The matching that protects tokens unlike all others."""

from __future__ import annotations

import torch
from torch import Tensor

from ..tracing import may_merge, writes_onnx
from .pass_plan import PassPlan, count_up, merge_nothing, plan_in_order
from .plan import MergePlan, check, check_range, first, prefer_padding, strongest_first
from .similarity import cosines, directions

__all__ = ["pitome_margin", "pitome_matching", "plan_pitome"]


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
    return plan_pitome(keys, r, prefix_tokens, padding, margin=margin).public()


def plan_pitome(
    keys: Tensor,
    r: int,
    prefix_tokens: int,
    padding: Tensor | None,
    numbers: Tensor | None = None,
    margin: float = 0.9,
) -> PassPlan:
    """`pitome_matching` without its checks, for the forward pass, which may have `shared_numbers`."""
    if not may_merge(r):
        return merge_nothing(keys)
    metric = directions(keys.detach())[:, prefix_tokens:]
    pad = None if padding is None else padding[:, prefix_tokens:]
    similarity = cosines(metric, metric)
    order = strongest_first(_energy(similarity, margin, pad))
    a, b, _ = _in_turn(order, r)
    samples = count_up(keys.shape[0], keys, numbers)
    scores = similarity[samples[:, None, None], a[:, :, None], b[:, None]]
    if pad is not None:
        scores = prefer_padding(scores, pad.gather(1, a), pad.gather(1, b))
    source, target, rest = _in_turn(order + prefix_tokens, r)
    stay = torch.cat([target, rest], dim=1).sort(dim=1).values
    return plan_in_order(prefix_tokens, stay, source, target.gather(1, scores.argmax(dim=-1)), numbers)


def _in_turn(order: Tensor, r: int) -> tuple[Tensor, Tensor, Tensor]:
    """Splits (B, K) into A and B (B, r), each of which gets every second of the first 2r, and the rest."""
    mergeable, rest = first(order, 2 * r)
    a, b = mergeable.reshape(order.shape[0], r, 2).unbind(dim=2)
    return a, b, rest


def _energy(similarity: Tensor, margin: float, padding: Tensor | None) -> Tensor:
    """Energies from (B, N, N) cosines and (B, N) padding: (B, N), as sums, which sort as the means do."""
    terms = torch.where(similarity >= margin, similarity, _expm1(similarity - margin))
    terms.diagonal(dim1=1, dim2=2).zero_()  # of a token with itself
    if padding is None:
        return terms.sum(dim=-1)
    return terms.masked_fill(padding[:, None], 0).sum(dim=-1).masked_fill(padding, torch.inf)


def _expm1(x: Tensor) -> Tensor:
    return x.exp() - 1 if writes_onnx() else x.expm1()
