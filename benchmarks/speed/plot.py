"""Results of a benchmark as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from timm_mergemix.optional import need

from .growth import BATCHES, Point
from .measure import Result

__all__ = ["plot"]


def plot(results: Sequence[Result], points: Sequence[Point], path: Path) -> Path:
    """Ratios with their intervals, and how cost grows; one picture.

    Args:
        results: The table.
        points: See `benchmarks.speed.growth.grow`; may be empty.
        path: Where it is written.

    Raises:
        MergeMixError: If matplotlib is not there.
    """
    need("matplotlib", "the plot")
    from matplotlib.figure import Figure

    shown = [result for result in results if result.wanted is not None]
    heights = [1.5 + 0.35 * max(len(shown), 1), *([4.5] if points else [])]
    figure = Figure(figsize=(12, sum(heights)), layout="constrained")
    # Figures of their own, so that the long names of the one do not narrow the other.
    parts: Any = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)
    _ratios(parts[0][0].subplots(), shown)
    if points:
        _growth(parts[1][0].subplots(), points)
    figure.savefig(path, dpi=120)
    return path


def _ratios(axis: Any, results: Sequence[Result]) -> None:
    for y, result in enumerate(reversed(results)):
        value, low, high = result.ratio
        axis.errorbar(value, y, xerr=[[value - low], [high - value]], fmt="o", color="tab:blue", capsize=3)
        axis.plot(result.wanted, y, "|", color="tab:red", markersize=14)
    axis.set_yticks(range(len(results)), [f"{r.row}: {r.above} / {r.below}" for r in reversed(results)], fontsize=7)
    axis.axvline(1, color="grey", linewidth=0.5)
    axis.set_xlabel("ratio of medians, with 95 % interval; red: wanted at most")


def _growth(axis: Any, points: Sequence[Point]) -> None:
    colours = {"merged": "tab:blue", "ideal": "tab:green", "unpatched": "tab:grey"}
    styles = dict(zip(dict.fromkeys(point.tokens for point in points), ("-", "--", ":"), strict=False))
    for tokens, style in styles.items():
        of_size = [point for point in points if point.tokens == tokens]
        for name, colour in colours.items():
            milliseconds = [1000 * point.seconds[name] for point in of_size]
            batches = [point.batch for point in of_size]
            axis.plot(batches, milliseconds, style, color=colour, marker=".", label=f"{name}, {tokens} tokens")
    axis.set(xscale="log", yscale="log", xlabel="images a batch", ylabel="ms an image")
    axis.set_xticks(BATCHES, [str(batch) for batch in BATCHES], minor=False)
    for which in (axis.yaxis.set_major_formatter, axis.yaxis.set_minor_formatter):
        which("{x:g}")
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
