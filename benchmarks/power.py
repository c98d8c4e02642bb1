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
from benchmarks.study.arms import find_arm
from benchmarks.study.cost import REFERENCE
from benchmarks.study.groups import group_records, shared_options, title_of
from benchmarks.study.paired import detectable, differences, with_interval
from benchmarks.study.sweep import trials_in
from timm_mergemix.cli.report import markdown_table
from timm_mergemix.errors import Words, wrong

__all__ = ["GO_ON", "SUMMARY", "add_arguments", "run", "spread_of"]

SUMMARY = "Show which differences in top-1 a number of seeds can show, and which ones records do show."
GO_ON = "Nothing is kept of it; start again with"
FINAL = Path(__file__).parent / "results" / "final.jsonl"
SEEDS = (3, 5, 8, 12, 20)
POWER = 0.8


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
        shown += [
            [task, title_of(group, shared), str(len(values)), *with_interval(values)]
            for group, values in paired.items()
            if values
        ]
    if not shown:
        raise wrong("records", Words(f"no pair of seeds of {reference} and another method"), "at least one")
    print(markdown_table(["task", "deviation", *(f"{seeds} seeds" for seeds in SEEDS)], spreads))
    print(f"\n{markdown_table(['task', 'method', 'seeds', f'over {reference}', '95 % interval'], shown)}")


def _row(deviation: float) -> list[str]:
    found = [f"{detectable(deviation, seeds):.1f} ({detectable(deviation, seeds, POWER):.1f})" for seeds in SEEDS]
    return [f"{deviation:.1f}", *found]


if __name__ == "__main__":
    sys.exit(main(sys.modules[__name__]))
