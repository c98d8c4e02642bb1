import pytest
from hypothesis import given
from hypothesis import strategies as st

from timm_mergemix.errors import MergeMixError
from timm_mergemix.study.search import all_combinations, drawn_combinations

CHOICES = {"lr": [1, 2, 3], "mode": ["batch", "elem"]}


def test_all_combinations() -> None:
    assert all_combinations({}) == [{}]
    found = all_combinations(CHOICES)
    assert len(found) == 6 and found[0] == {"lr": 1, "mode": "batch"} and found[1] == {"lr": 1, "mode": "elem"}


@given(st.integers(1, 40), st.integers(0, 5))
def test_a_draw_is_balanced_and_the_same_again(count: int, seed: int) -> None:
    found = drawn_combinations(CHOICES, count, seed)
    assert len(found) == count and found == drawn_combinations(CHOICES, count, seed)
    for name, values in CHOICES.items():
        times = [sum(setting[name] == value for setting in found) for value in values]
        assert max(times) - min(times) <= 1


def test_names_are_drawn_apart_from_each_other() -> None:
    pairs = {(setting["lr"], setting["mode"]) for setting in drawn_combinations(CHOICES, 60)}
    assert len(pairs) == 6


def test_a_draw_of_nothing_is_refused() -> None:
    with pytest.raises(MergeMixError, match="draw"):
        drawn_combinations(CHOICES, 0)
