"""A matching by its name."""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import check_choice
from .baselines import check_generator, plan_kth, plan_random
from .bipartite import plan_bipartite
from .names import MATCHINGS
from .pass_plan import PassPlan
from .pitome import pitome_margin, plan_pitome
from .plan import MergePlan, check, check_range

__all__ = ["match", "plan_merges"]


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
    return plan_merges(matching, keys, r, prefix_tokens, padding, progress, generator).public()


def plan_merges(
    matching: str,
    keys: Tensor,
    r: int,
    prefix_tokens: int,
    padding: Tensor | None,
    progress: float,
    generator: torch.Generator | None,
    numbers: Tensor | None = None,
) -> PassPlan:
    """`match` for the forward pass, which may have `shared_numbers`; the other arguments and errors are its own."""
    check_choice("matching", matching, MATCHINGS)
    check_range("progress", progress, 0, 1)
    check(keys, r, prefix_tokens, padding)
    if matching == "pitome":
        return plan_pitome(keys, r, prefix_tokens, padding, numbers, pitome_margin(progress))
    if matching == "random":
        check_generator(generator)
        return plan_random(keys, r, prefix_tokens, padding, numbers, generator)
    return (plan_kth if matching == "kth" else plan_bipartite)(keys, r, prefix_tokens, padding, numbers)
