"""Each result except those of the lower bound itself is in one group, with a short label."""

from __future__ import annotations

import torch

from benchmarks.speed.groups import GROUPS, label_of
from benchmarks.speed.measure import Result
from benchmarks.speed.rows import all_rows
from timm_mergemix.tune.timing import Ratio

from .made import RESULTS

RATIO = Ratio(1.0, 1.0, 1.0)


def test_every_comparison_of_the_table_is_in_one_group() -> None:
    for row in all_rows(torch.device("cpu")):
        for comparison in row.comparisons:
            result = Result(row.name, *comparison, RATIO, (1.0, 1.0))
            groups = [group.name for group in GROUPS if group.of([result])]
            assert len(groups) == (comparison[:2] != ("ideal", "unpatched")), result


def test_labels_are_short_and_distinguish_the_steps_of_a_group() -> None:
    for group in GROUPS:
        own = [label_of(result) for result in group.of(RESULTS)]
        assert len(set(own)) == len(own)
    assert label_of(RESULTS[0]) == "inference, deit_tiny, batch 32, r=13"
    assert label_of(RESULTS[5]) == "preference step, deit_tiny, batch 16, r=13: saliency of the winner"
