"""A matching by its name."""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import check_choice
from .baselines import kth_matching, random_matching
from .bipartite import bipartite_matching
from .names import MATCHINGS
from .pitome import pitome_margin, pitome_matching
from .plan import MergePlan, check_range

__all__ = ["match"]


def match(
    matching: str,
    keys: Tensor,
    r: int,
    prefix_tokens: int = 0,
    padding: Tensor | None = None,
    progress: float = 0.0,
    generator: torch.Generator | None = None,
) -> MergePlan:
    """The matching of that name, with its own defaults.

    Args:
        matching: ``"bipartite"``, ``"random"``, ``"kth"`` or ``"pitome"``.
        keys: (B, N, D), the metric, for example keys averaged over heads. Any float dtype; compared in float32.
        r: Tokens to merge, at most half of the N - ``prefix_tokens`` unprotected ones.
        prefix_tokens: Leading tokens that never merge.
        padding: (B, N) bool, True for tokens that stand for no patch.
        progress: Share of the blocks that ran before, from 0 to 1. PiToMe's margin falls with it.
        generator: What ``"random"`` draws from, see `random_matching`; the others draw nothing.

    Raises:
        MergeMixError: If there is no such matching, the progress is not a number from 0 to 1, or the matching refuses
            another argument.
    """
    check_choice("matching", matching, MATCHINGS)
    check_range("progress", progress, 0, 1)
    if matching == "pitome":
        return pitome_matching(keys, r, prefix_tokens, padding, pitome_margin(progress))
    if matching == "random":
        return random_matching(keys, r, prefix_tokens, padding, generator)
    return (kth_matching if matching == "kth" else bipartite_matching)(keys, r, prefix_tokens, padding)
