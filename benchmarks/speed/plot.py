"""What was measured as a picture."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from timm_mergemix.cli.pictures import save_figure
from timm_mergemix.errors import need

from .groups import GROUPS, label_of
from .growth import BATCHES, Point
from .measure import Result

__all__ = ["plot"]

# In inches: the width of the picture, so that 10-point letters can be read at 800 pixels; a line of a label, the gap
# between labels, the space around rows, and the growth panels.
WIDTH, LINE, GAP, FRAME, GROWTH = 8.0, 0.17, 0.16, 1.1, 3.4
# Characters per line of a label and of a title.
LABEL, TITLE = 36, 66
# The patch of Bolya et al. is shown in the same rows as ours.
BESIDE = {"published over ideal": "merged over ideal"}
COLOURS = {"merged": "tab:blue", "ideal": "tab:green", "unpatched": "tab:grey", "published": "tab:orange"}

# Label of a row -> what stands in it.
Rows = dict[str, list[Result]]


def plot(results: Sequence[Result], points: Sequence[Point], path: Path) -> Path:
    """Ratios with their intervals, and how cost grows; one picture.

    Args:
        results: The table.
        points: See `benchmarks.speed.growth.grow`; may be empty.
        path: Where it is written.

    Raises:
        MergeMixError: If matplotlib is not there.
    """
    need("matplotlib", "the plot", "viz")
    from matplotlib.figure import Figure

    panels = _panels(results)
    heights = [_height(rows) for rows in panels.values()]
    shares = [*([sum(heights)] if panels else []), *([GROWTH] if points else [])]
    figure = Figure(figsize=(WIDTH, sum(shares) or 1.0), layout="constrained")
    # Figures of their own, so that the long labels of the one do not narrow the other.
    parts: list[Any] = (
        list(figure.subfigures(len(shares), 1, squeeze=False, height_ratios=shares).flat) if shares else []
    )
    if panels:
        axes = parts[0].subplots(len(panels), 1, squeeze=False, height_ratios=heights)
        for (title, rows), (axis,) in zip(panels.items(), axes, strict=True):
            _ratios(axis, title, rows)
    if points:
        _growth(parts[-1], points)
    return save_figure(figure, path, dpi=200)


def _panels(results: Sequence[Result]) -> dict[str, Rows]:
    """Times by the title of their group; memory is a count that has no interval, and stands in the table alone."""
    titles = {group.name: group.title for group in GROUPS}
    panels: dict[str, Rows] = {}
    for group in GROUPS:
        for result in group.of([result for result in results if result.unit == "s"]):
            rows = panels.setdefault(titles[BESIDE.get(group.name, group.name)], {})
            rows.setdefault(label_of(result), []).append(result)
    return panels


def _height(rows: Rows) -> float:
    """Inches of a panel whose rows are as far apart as its longest label needs."""
    lines = max(len(textwrap.wrap(label, LABEL)) for label in rows)
    return FRAME + len(rows) * (GAP + LINE * lines)


def _ratios(axis: Any, title: str, rows: Rows) -> None:
    for y, results in enumerate(rows.values()):
        for beside, result in enumerate(results):
            value, low, high = result.ratio
            colour, height = COLOURS.get(result.above, "tab:blue"), y + 0.25 * beside
            axis.errorbar(value, height, xerr=[[value - low], [high - value]], fmt="o", color=colour, capsize=3)
            if result.wanted is not None:
                axis.plot(result.wanted, height, "|", color="tab:red", markersize=14, markeredgewidth=2)
    axis.set_yticks(range(len(rows)), [textwrap.fill(label, LABEL) for label in rows], fontsize=10)
    axis.set_ylim(len(rows) - 0.4, -0.6)  # from top to bottom
    axis.axvline(1, color="grey", linewidth=0.5)
    axis.grid(axis="x", linewidth=0.3)
    notes = ["red: the target, a maximum"] * any(each.wanted for own in rows.values() for each in own)
    notes += ["orange: the patch of Bolya et al."] * any(
        each.above == "published" for own in rows.values() for each in own
    )
    lines = [*textwrap.wrap(f"time, {title}", TITLE), *(["; ".join(notes)] if notes else [])]
    axis.set_title("\n".join(lines), fontsize=10, loc="left")


def _growth(figure: Any, points: Sequence[Point]) -> None:
    sizes = list(dict.fromkeys(point.tokens for point in points))
    axes = figure.subplots(1, len(sizes), squeeze=False)[0]
    for tokens, axis in zip(sizes, axes, strict=True):
        of_size = sorted((point for point in points if point.tokens == tokens), key=lambda point: point.batch)
        for name in of_size[0].seconds:
            milliseconds = [1000 * point.seconds[name] for point in of_size]
            axis.plot([point.batch for point in of_size], milliseconds, ".-", color=COLOURS[name], label=name)
        axis.set(xscale="log", xlabel="images per batch", ylim=(0, None))
        axis.set_xticks(BATCHES, [str(batch) for batch in BATCHES], minor=False)
        axis.minorticks_off()
        axis.set_title(f"inference, {tokens} tokens", fontsize=10, loc="left")
        axis.grid(linewidth=0.3)
    axes[0].set_ylabel("ms per image")
    axes[0].legend(fontsize=9)
