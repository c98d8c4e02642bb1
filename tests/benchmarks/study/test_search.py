"""Settings are drawn so that each value occurs equally often."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.study.search import all_combinations, drawn_combinations
from timm_mergemix.errors import MergeMixError

CHOICES = {"lr": [1, 2, 3], "mode": ["batch", "elem"]}


def test_all_combinations_are_returned() -> None:
    assert all_combinations({}) == [{}]
    found = all_combinations(CHOICES)
    assert len(found) == 6 and found[0] == {"lr": 1, "mode": "batch"} and found[1] == {"lr": 1, "mode": "elem"}


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(0, 5))
def test_a_draw_is_balanced_and_reproducible(count: int, seed: int) -> None:
    found = drawn_combinations(CHOICES, count, seed)
    assert len(found) == count and found == drawn_combinations(CHOICES, count, seed)
    for name, values in CHOICES.items():
        times = [sum(row[name] == value for row in found) for value in values]
        assert max(times) - min(times) <= 1


def test_names_are_drawn_independently() -> None:
    choices = {"a": [0, 1], "b": [0, 1], "c": [0, 1]}
    for count in (4, 8, 12):
        drawn = drawn_combinations(choices, count)
        for one, other in combinations(choices, 2):
            together = sum(setting[one] == setting[other] for setting in drawn)
            assert together == count / 2  # the value of one says nothing about the value of the other


def test_a_draw_of_no_combinations_is_refused() -> None:
    with pytest.raises(MergeMixError, match="draw"):
        drawn_combinations(CHOICES, 0)
