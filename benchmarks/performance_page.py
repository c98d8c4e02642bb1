"""Writes the tables and pictures of docs/performance.md from the record of the speed benchmark.

A table stands below the line ``<!-- table: NAME -->`` of the page, and replaces the one that stands there.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.command import main
from benchmarks.speed.groups import GROUPS, Group, label_of
from benchmarks.speed.growth import Point
from benchmarks.speed.measure import Result
from benchmarks.speed.measured import Measured, load
from benchmarks.speed.plot import plot
from timm_mergemix.cli.report import markdown_table
from timm_mergemix.errors import Words, wrong
from timm_mergemix.files.writing import write_file

__all__ = ["GO_ON", "SUMMARY", "add_arguments", "fill", "run", "tables"]

SUMMARY = "Write the tables and pictures of docs/performance.md from the committed record of the speed benchmark."
GO_ON = "Start again with"
ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "performance.md"
PICTURES = ROOT / "docs" / "images"
# Name of a picture -> the groups that it shows.
SHOWN = {
    "merging": ("merged over ideal", "merged over unpatched", "published over ideal"),
    "mixing": ("mixing", "preference"),
}


def tables(measured: Measured) -> dict[str, str]:
    """The tables of the page by name, in Markdown; those of which nothing was measured are left out."""
    facts = [[name, str(value)] for name, value in measured.machine.items()]
    found = {"machine": markdown_table(["measured on", ""], facts)}
    for group in GROUPS:
        results = group.of(measured.results)
        if results:
            found[group.name] = _ratios(group, results)
    if measured.points:
        found["growth"] = _growth(measured.points)
    return found


def _ratios(group: Group, results: list[Result]) -> str:
    rows = []
    for result in results:
        value, low, high = result.ratio
        interval = "" if result.unit == "bytes" else f"{low:.2f} to {high:.2f}"
        wanted = "" if result.wanted is None else f"{result.wanted:.2f}"
        rows.append([label_of(result), f"{value:.2f}", interval, wanted])
    return markdown_table([group.title, "ratio", "95 % interval", "target: at most"], rows)


def _growth(points: list[Point]) -> str:
    """A row for each batch; for each number of tokens merged over ideal, and over unpatched."""
    sizes = sorted({point.tokens for point in points})
    there = {(point.tokens, point.batch): point.seconds for point in points}
    rows = []
    for batch in sorted({point.batch for point in points}):
        found = [there.get((tokens, batch)) for tokens in sizes]
        cells = [
            f"{each['merged'] / each[base]:.2f}" if each else "" for each in found for base in ("ideal", "unpatched")
        ]
        rows.append([str(batch), *cells])
    header = [f"{tokens} tokens, merged over {base}" for tokens in sizes for base in ("ideal", "unpatched")]
    return markdown_table(["images per batch", *header], rows)


def fill(page: str, printed: Mapping[str, str]) -> str:
    """The page with its tables replaced by those that are printed.

    Args:
        page: In Markdown.
        printed: Tables by name.

    Raises:
        MergeMixError: If the page has no place for a table, or several.
    """
    for name, table in printed.items():
        start = f"<!-- table: {name} -->\n"
        found = list(re.finditer(rf"^{re.escape(start)}(?:\n(?:\|.*\n)+)?", page, re.MULTILINE))
        if len(found) != 1:
            raise wrong("page", Words(f"{len(found)} lines {start.strip()}"), "one")
        page = f"{page[: found[0].start()]}{start}\n{table}\n{page[found[0].end() :]}"
    return page


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It has none."""


def run(args: argparse.Namespace) -> None:
    """Writes the page and its pictures."""
    measured = load(RECORDS)
    write_file(PAGE, fill(PAGE.read_text(encoding="utf-8"), tables(measured)))
    for name, groups in SHOWN.items():
        own = [result for group in GROUPS if group.name in groups for result in group.of(measured.results)]
        points = measured.points if name == "merging" else []
        plot(own, points, PICTURES / f"chart-performance-{name}.png")
    print(f"Wrote {PAGE} and the pictures in {PICTURES}.")


if __name__ == "__main__":
    sys.exit(main(sys.modules[__name__]))
