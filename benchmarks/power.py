"""Which differences a number of seeds can show, and which ones were shown, from the records of a comparison.

For each task the spread of paired differences: methods of a seed share images and first weights, so that what they
differ by is less than what seeds differ by. From it the difference whose 95 % interval leaves out 0 with so many seeds,
and in brackets the one that is found four times out of five. Then each method over the reference, with its interval.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.command import main
from benchmarks.records import Record
from benchmarks.study.arms import find_arm
from benchmarks.study.cost import REFERENCE
from benchmarks.study.groups import group_records, shared_options, title_of
from benchmarks.study.sweep import trials_in
from timm_mergemix.cli.report import markdown_table
from timm_mergemix.errors import Words, check_int, check_number, need, wrong

__all__ = ["GO_ON", "SUMMARY", "add_arguments", "detectable", "differences", "run", "spread_of"]

SUMMARY = "Show which differences in top-1 a number of seeds can show, and which ones records do show."
GO_ON = "Nothing is kept of it; start again with"
FINAL = Path(__file__).parent / "results" / "final.jsonl"
SEEDS = (3, 5, 8, 12, 20)
CONFIDENCE, POWER = 0.95, 0.8


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


def spread_of(paired: Sequence[Sequence[float]]) -> float:
    """The standard deviation of paired differences, pooled over methods by their degrees of freedom.

    Raises:
        MergeMixError: If no method has two seeds.
    """
    several = [values for values in paired if len(values) > 1]
    if not several:
        raise wrong("records", Words("one seed for each method"), "at least two")
    squares = sum(statistics.variance(values) * (len(values) - 1) for values in several)
    return math.sqrt(squares / sum(len(values) - 1 for values in several))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The records, and what is compared."""
    add = parser.add_argument
    add("--records", type=Path, default=FINAL, metavar="FILE", help="trials.jsonl of a comparison")
    add("--split", choices=("val", "test"), default="test", help="which images")
    add("--reference", default=REFERENCE, metavar="METHOD", help="what the others are compared with")


def run(args: argparse.Namespace) -> None:
    """Prints the tables."""
    reference = find_arm(args.reference).title
    groups = group_records(trials_in(args.records).read(), args.split)
    spreads, shown = [], []
    for task in dict.fromkeys(group[0] for group in groups):
        own = {group: lines for group, lines in groups.items() if group[0] == task}
        base = max((lines for group, lines in own.items() if group[1] == args.reference), key=len, default=[])
        shared = shared_options(own)
        paired = {group: differences(lines, base, args.split) for group, lines in own.items() if lines is not base}
        if any(len(values) > 1 for values in paired.values()):
            spreads.append([task, *_row(spread_of(list(paired.values())))])
        shown += [[task, title_of(group, shared), *_interval(values)] for group, values in paired.items() if values]
    if not shown:
        raise wrong("records", Words(f"no pair of seeds of {reference} and another method"), "at least one")
    print(markdown_table(["task", "deviation", *(f"{seeds} seeds" for seeds in SEEDS)], spreads))
    print(f"\n{markdown_table(['task', 'method', 'seeds', f'over {reference}', '95 % interval'], shown)}")


def _row(deviation: float) -> list[str]:
    found = [f"{detectable(deviation, seeds):.1f} ({detectable(deviation, seeds, POWER):.1f})" for seeds in SEEDS]
    return [f"{deviation:.1f}", *found]


def _interval(values: Sequence[float]) -> list[str]:
    mean = statistics.mean(values)
    if len(values) < 2:
        return ["1", f"{mean:+.1f}", ""]
    half = detectable(statistics.stdev(values), len(values))
    return [str(len(values)), f"{mean:+.1f}", f"{mean - half:+.1f} to {mean + half:+.1f}"]


if __name__ == "__main__":
    sys.exit(main(sys.modules[__name__]))
