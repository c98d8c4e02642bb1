"""Slow references, in plain Python, and small helpers of the merge tests."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from timm_mergemix.merge.blocks import Context
from timm_mergemix.merge.matching.plan import MergePlan


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def cosine(a: list[float], b: list[float]) -> float:
    norm = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / norm


def soft_matching(keys: list[list[float]], r: int, prefix: int) -> tuple[list[int], dict[int, int]]:
    """Bipartite soft matching of one sample.

    Returns:
        The old positions of the kept tokens in their new order, and old position -> old position of each merge.
    """
    in_a = [i for i in range(prefix, len(keys)) if i % 2 == 0]
    in_b = [i for i in range(prefix, len(keys)) if i % 2 == 1]
    best = {a: max(in_b, key=lambda b: cosine(keys[a], keys[b])) for a in in_a} if in_b else {}
    strongest = sorted(best, key=lambda a: -cosine(keys[a], keys[best[a]]))[:r]
    merges = {a: best[a] for a in strongest}
    return [*range(prefix), *[a for a in in_a if a not in merges], *in_b], merges


def no_near_ties(keys: Tensor, prefix: int, gap: float = 1e-5) -> bool:
    """Whether float32 decides every comparison of the matching of (N, D) keys as exact arithmetic does."""
    rows = keys.double().tolist()
    edges = []
    for a in range(prefix, len(rows)):
        if a % 2:
            continue
        scores = sorted(cosine(rows[a], rows[b]) for b in range(prefix, len(rows)) if b % 2)
        if any(high - low < gap for low, high in pairwise(scores)):
            return False
        edges += scores[-1:]
    return all(high - low >= gap for low, high in pairwise(sorted(edges)))


def source_of(plan: MergePlan, sample: int) -> list[int]:
    """Old position -> new position, read off a plan entry by entry."""
    keep, source, target = (part[sample].tolist() for part in plan)
    where = {old: new for new, old in enumerate(keep)}
    where.update(zip(source, target, strict=True))
    return [where[i] for i in range(len(where))]


def relative_error(got: Tensor, wanted: Tensor) -> float:
    return ((got - wanted).abs().max() / wanted.abs().max()).item()


def sequence_lengths(layers: list) -> list[int]:
    """Tokens that leave each recorded block."""
    return [layer.size.shape[1] for layer in layers]


def alone(bias: Tensor | None = None) -> Context:
    """The context of a block's call in which nothing comes with the tokens but, perhaps, a bias."""
    return Context(None, None, bias, {})


class Wrapper(nn.Module):
    """Holds a model as DDP does."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x)
