"""Slow references of the matchings, written from their descriptions in plain Python, for one sample each.

``keys`` are rows of floats, ``padding`` a list of booleans. A reference gives old position -> old position of each
merge. It raises ``NearTieError`` where float32 may decide a comparison otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import pairwise

from ..reference import cosine

GAP = 1e-5
Edge = tuple[int, float]


class NearTieError(Exception):
    """Two things that are compared are too close."""


def sort_down(items: Iterable[int], key: Callable[[int], Edge]) -> list[int]:
    ranked = sorted(items, key=key, reverse=True)
    for (high_kind, high), (low_kind, low) in pairwise(map(key, ranked)):
        if high_kind == low_kind and high - low < GAP:
            raise NearTieError
    return ranked


def edge(keys: list[list[float]], padding: list[bool], a: int, b: int) -> Edge:
    """What edges are sorted by: padding with padding, patch with patch, both kinds; then the cosine."""
    kind = 0 if padding[a] != padding[b] else 2 if padding[a] else 1
    return kind, cosine(keys[a], keys[b])


def best(keys: list[list[float]], padding: list[bool], a: int, targets: list[int]) -> int:
    return sort_down(targets, lambda b: edge(keys, padding, a, b))[0]


def strongest(keys: list[list[float]], padding: list[bool], r: int, sources: list[int], targets: list[int]) -> dict:
    partner = {a: best(keys, padding, a, targets) for a in sources if targets}
    return {a: partner[a] for a in sort_down(partner, lambda a: edge(keys, padding, a, partner[a]))[:r]}


def slow_bipartite(keys: list[list[float]], padding: list[bool], r: int, prefix: int) -> dict[int, int]:
    free = range(prefix, len(keys))
    return strongest(keys, padding, r, [i for i in free if i % 2 == 0], [i for i in free if i % 2 == 1])


def slow_kth(keys: list[list[float]], padding: list[bool], r: int, prefix: int, k: int = 3) -> dict[int, int]:
    free = range(prefix, len(keys))
    targets = [i for i in free if (i - prefix) % k == 0]
    return strongest(keys, padding, r, [i for i in free if i not in targets], targets)


def slow_partners(keys: list[list[float]], padding: list[bool], drawn: list[int], prefix: int) -> dict[int, int]:
    """What random matching does with the tokens that it drew."""
    stay = [i for i in range(prefix, len(keys)) if i not in drawn]
    return {a: best(keys, padding, a, stay) for a in drawn}


def slow_energy(keys: list[list[float]], padding: list[bool], prefix: int, margin: float) -> dict[int, float]:
    """Energy of each patch."""
    patches = [i for i in range(prefix, len(keys)) if not padding[i]]
    energy = {}
    for i in patches:
        total = 0.0
        for j in patches:
            if j == i:
                continue
            x = cosine(keys[i], keys[j])
            if abs(x - margin) < GAP:
                raise NearTieError
            total += x if x >= margin else 1.0 * (math.exp(x - margin) - 1)
        energy[i] = total / max(len(patches) - 1, 1)
    return energy


def slow_pitome(
    keys: list[list[float]], padding: list[bool], r: int, prefix: int, margin: float = 0.9
) -> dict[int, int]:
    """Padding must be absent: among padding the order is free."""
    energy = slow_energy(keys, padding, prefix, margin)
    mergeable = sort_down(energy, lambda i: (0, energy[i]))[: 2 * r]
    return {a: best(keys, padding, a, mergeable[1::2]) for a in mergeable[::2]}
