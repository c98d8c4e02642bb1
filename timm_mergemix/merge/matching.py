"""Which tokens merge: keys -> plan."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import check_int, wrong

__all__ = ["MergePlan", "bipartite_matching"]


class MergePlan(NamedTuple):
    """Which of N tokens stay and which merge into them. All tensors are int64.

    Attributes:
        keep: (B, N - r), old positions of the tokens that stay, in their new order.
        source: (B, r), old positions of the tokens that merge.
        target: (B, r), new positions of the tokens that they merge into.
    """

    keep: Tensor
    source: Tensor
    target: Tensor


@torch.no_grad()
def bipartite_matching(keys: Tensor, r: int, prefix_tokens: int = 0) -> MergePlan:
    """Bipartite soft matching of Bolya et al., "Token Merging: Your ViT but Faster", ICLR 2023 (arXiv 2210.09461).

    The sequence is split by even and odd position into A and B. Each token of A keeps its best edge, by cosine
    similarity, into B; the ``r`` strongest edges merge. Prefix tokens take no part. The new order is: prefix tokens,
    unmerged A in order, B in order.

    Args:
        keys: (B, N, D), the metric, for example keys averaged over heads. Any float dtype; compared in float32.
        r: Tokens to merge, at most half of the N - ``prefix_tokens`` unprotected ones.
        prefix_tokens: Leading tokens that never merge.

    Raises:
        MergeMixError: If the keys are no (B, N, D) floats, or more shall merge than can.
    """
    _check(keys, r, prefix_tokens)
    batch, length = keys.shape[:2]
    skip_a, skip_b = (prefix_tokens + 1) // 2, prefix_tokens // 2
    with torch.autocast(keys.device.type, enabled=False):
        metric = F.normalize(keys.float(), dim=-1)
        scores = metric[:, ::2][:, skip_a:] @ metric[:, 1::2][:, skip_b:].mT
    if scores.shape[2] == 0:  # at most one unprotected token: A has no edges
        scores = scores.new_zeros(batch, scores.shape[1], 1)
    strength, partner = scores.max(dim=-1)
    order = strength.argsort(dim=-1, descending=True)
    merged, unmerged = order[:, :r], order[:, r:].sort(dim=-1).values

    positions = torch.arange(length, device=keys.device)
    prefix, in_b = positions[:prefix_tokens], positions[1::2][skip_b:]
    keep = torch.cat([prefix.expand(batch, -1), 2 * (unmerged + skip_a), in_b.expand(batch, -1)], dim=1)
    target = prefix_tokens + unmerged.shape[1] + partner.gather(1, merged)
    return MergePlan(keep, 2 * (merged + skip_a), target)


def _check(keys: Tensor, r: int, prefix_tokens: int) -> None:
    if not isinstance(keys, Tensor) or keys.ndim != 3 or not keys.is_floating_point():
        raise wrong("keys", keys, "a float tensor of shape (B, N, D)")
    check_int("prefix_tokens", prefix_tokens, 0)
    check_int("r", r, 0)
    most = max(int(keys.shape[1]) - prefix_tokens, 0) // 2
    if r > most:
        raise wrong("r", r, f"at most {most}, half of the unprotected tokens")
