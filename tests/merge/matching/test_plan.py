"""What all matchings share: their checks, the place of padding, and plans in order."""

import math

import pytest
import torch

from timm_mergemix import MergeMixError
from timm_mergemix.merge.matching.plan import (
    check,
    check_range,
    first,
    of_length,
    prefer_padding,
)

from ..reference import randn


@pytest.mark.parametrize(("length", "prefix"), [(9, 0), (9, 1), (9, 2), (2, 2), (1, 0), (3, 5)])
def test_up_to_half_of_the_unprotected_tokens_may_merge(length, prefix):
    most = max(length - prefix, 0) // 2
    check(randn(1, length, 4), most, prefix, None)
    with pytest.raises(MergeMixError, match=f"^r: got {most + 1}, wanted at most {most}, half of the unprotected"):
        check(randn(1, length, 4), most + 1, prefix, None)


def test_positions_of_a_known_length_are_themselves():
    index = torch.tensor([[3, 0, 2], [1, 4, 0]])
    torch.testing.assert_close(of_length(index, 3), index)


def test_padding_is_boolean_for_each_token():
    check(randn(2, 4, 3), 1, 0, torch.zeros(2, 4, dtype=torch.bool))
    for padding in (torch.zeros(2, 4), torch.zeros(2, 3, dtype=torch.bool), torch.zeros(4, dtype=torch.bool)):
        with pytest.raises(MergeMixError, match=r"^padding: got "):
            check(randn(2, 4, 3), 1, 0, padding)


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf, "0.5", None, True])
def test_a_range_is_checked_as_any_number_is(value):
    check_range("progress", 0.5, 0, 1)
    check_range("progress", 1, 0, 1)
    with pytest.raises(MergeMixError, match=r"^progress: got .*, wanted a finite number from 0 to 1"):
        check_range("progress", value, 0, 1)


def test_edges_of_padding_come_first_and_those_of_both_kinds_last():
    scores = torch.tensor([[[-1.0, 1.0], [0.5, -0.5]]])
    padding = torch.tensor([[True, False]])
    assert prefer_padding(scores, padding, padding).tolist() == [[[3.0, -3.0], [-3.5, -0.5]]]


def test_the_first_columns_and_the_others():
    index = torch.arange(10).view(2, 5)
    for count in (0, 3, 5):
        head, rest = first(index, count)
        assert torch.equal(head, index[:, :count]) and torch.equal(rest, index[:, count:])
