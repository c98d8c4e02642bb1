"""The schedule of every form of ``r``, found by trying one level after another."""

from __future__ import annotations

import math


def clip(wanted, patches):
    merges = []
    for r in wanted:
        merges.append(min(r, patches // 2))
        patches -= merges[-1]
    return merges


def spread(total, patches, depth):
    """The lowest level whose clipped merges reach the total, less its surplus in the last blocks at that level."""
    level = next(level for level in range(patches + 1) if sum(clip([level] * depth, patches)) >= total)
    merges = clip([level] * depth, patches)
    for i in reversed(range(depth)):
        if sum(merges) > total and merges[i] == level:
            merges[i] -= 1
    return merges


def slow_schedule(form, value, patches, depth):
    """The merges of each block as a tuple; a list, total or ratio must be one that can be met."""
    if form == "list":
        return tuple(value)
    if form == "constant":
        return tuple(clip([value] * depth, patches))
    if form == "decreasing":
        steps = [value] if depth == 1 else [2 * value * (depth - 1 - i) // (depth - 1) for i in range(depth)]
        return tuple(clip(steps, patches))
    total = value if form == "total" else patches - max(min(1, patches), math.floor(value * patches + 0.5))
    return tuple(spread(total, patches, depth))
