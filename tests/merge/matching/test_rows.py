"""Rows are taken by their positions, whether by a gather or from one sequence."""

import pytest
import torch

from timm_mergemix.merge.matching.rows import flat_index, gathers_rows, take_rows

from ..reference import randn

INDEX = torch.tensor([[4, 0, 0], [1, 2, 3]])


@pytest.mark.parametrize("numbers", [None, torch.arange(7)])
@pytest.mark.parametrize("gathers", [False, True])
def test_rows_are_taken_by_position(numbers, gathers, monkeypatch):
    monkeypatch.setattr("timm_mergemix.merge.matching.rows.gathers_rows", lambda values: gathers)
    values = randn(2, 5, 3)
    assert torch.equal(take_rows(values, INDEX, numbers), torch.stack([values[i, INDEX[i]] for i in range(2)]))


def test_positions_in_one_sequence():
    assert flat_index(INDEX, 5, torch.tensor([[0], [1]])).tolist() == [4, 0, 0, 6, 7, 8]


def test_an_accelerator_gathers_where_no_gradient_is_recorded():
    values = torch.empty(1, 2, 3, device="meta")
    assert not gathers_rows(values) and not gathers_rows(torch.empty(1, 2, 3))
    with torch.no_grad():
        assert gathers_rows(values) and not gathers_rows(torch.empty(1, 2, 3))
