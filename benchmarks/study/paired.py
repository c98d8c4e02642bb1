"""Differences between methods that share their seeds, with the intervals in which the true ones lie."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from timm_mergemix.errors import check_int, check_number, need

from ..records import Record

__all__ = ["detectable", "differences", "half_width", "shown_gain", "with_interval"]

CONFIDENCE = 0.95


def detectable(deviation: float, seeds: int, power: float | None = None) -> float:
    """The smallest mean difference that a number of seeds can tell from none.

    Args:
        deviation: Standard deviation of the paired differences of single seeds.
        seeds: How many.
        power: How often a true difference of that size is found; None for one that, observed, just leaves 0 out of its
            95 % interval.

    Raises:
        MergeMixError: If there are fewer than 2 seeds, or a number is out of its range.
    """
    check_number("deviation", deviation, 0)
    check_int("seeds", seeds, 2)
    if power is not None:
        check_number("power", power, 0, 1)
    students = need("scipy.stats", "the power of a comparison", "compare").t
    quantile = students.ppf(0.5 + CONFIDENCE / 2, seeds - 1)
    if power is not None:
        quantile += students.ppf(power, seeds - 1)
    return float(quantile * deviation / math.sqrt(seeds))


def differences(records: Sequence[Record], reference: Sequence[Record], split: str) -> list[float]:
    """Differences in top-1, in points, of the seeds that both have."""
    base = {record["trial"]["seed"]: record[split]["top1"] for record in reference}
    own = {record["trial"]["seed"]: record[split]["top1"] for record in records}
    return [100 * (own[seed] - base[seed]) for seed in sorted(own) if seed in base]


def half_width(values: Sequence[float]) -> float:
    """Half of the 95 % interval of the mean of paired differences; 0 for a single seed."""
    return detectable(statistics.stdev(values), len(values)) if len(values) > 1 else 0.0


def with_interval(values: Sequence[float]) -> tuple[str, str]:
    """The mean of paired differences and its 95 % interval, which is empty for a single seed."""
    mean, half = statistics.mean(values), half_width(values)
    if len(values) < 2:
        return f"{mean:+.1f}", ""
    return f"{mean:+.1f}", f"{mean - half:+.1f} to {mean + half:+.1f}"


def shown_gain(own: Sequence[Record], base: Sequence[Record]) -> str:
    """The mean gain on test images with its interval; empty for the reference itself, or without common seeds."""
    values = [] if own is base else differences(own, base, "test")
    if not values:
        return ""
    mean, interval = with_interval(values)
    return f"{mean} ({interval})" if interval else mean
