"""Cells become maps that sum to 1; merged cells share what they have."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from timm_mergemix import MergeMixError, functional
from timm_mergemix.functional import bipartite_matching
from timm_mergemix.saliency.maps import shares, spatial_variance, to_grid, with_merged_cells


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


SEEDS = st.integers(0, 10_000)


@given(SEEDS, st.integers(1, 40))
def test_shares_sum_to_1_in_the_same_proportions(seed: int, count: int) -> None:
    values = drawn(seed, 3, count) + 1e-3
    found = shares(values)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(3))
    torch.testing.assert_close(found * values[:, :1], values * found[:, :1])


def test_where_nothing_is_salient_all_cells_are_alike() -> None:
    found = shares(torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.0, 3.0, 1.0, 0.0]]))
    assert found.tolist() == [[0.25] * 4, [0.0, 0.75, 0.25, 0.0]]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_are_an_error(value: float) -> None:
    with pytest.raises(MergeMixError, match=r"^encoder: its saliency is NaN or infinite"):
        shares(torch.tensor([[1.0, value]]))


def test_another_grid_shows_the_same_and_sums_to_1() -> None:
    maps = torch.tensor([[[0.7, 0.1], [0.1, 0.1]]])
    found = to_grid(maps, (4, 6))
    assert found.shape == (1, 4, 6)
    torch.testing.assert_close(found.sum(), torch.tensor(1.0))
    assert found[0, 0, 0] == found.max()


@given(SEEDS, st.integers(2, 30), st.integers(1, 8))
def test_the_spatial_variance_is_the_sum_over_cells(seed: int, count: int, channels: int) -> None:
    cells = drawn(seed, 2, count, channels)
    found = spatial_variance(cells)
    torch.testing.assert_close(found.sum(dim=1), cells.var(dim=1, correction=0).sum(dim=1) * count)
    # What is the same everywhere says nothing about where an object is.
    torch.testing.assert_close(spatial_variance(cells + drawn(seed + 1, 2, 1, channels)), found, atol=1e-5, rtol=1e-4)


def test_the_odd_cell_is_the_most_salient() -> None:
    cells = torch.zeros(1, 9, 4)
    cells[0, 5] = torch.tensor([0.0, 1.0, 0.0, -1.0])
    assert spatial_variance(cells.bfloat16()).argmax() == 5
    assert spatial_variance(cells.bfloat16()).dtype == torch.float32


@given(SEEDS, st.integers(2, 20), st.data())
def test_members_of_a_merged_cell_share_its_values(seed: int, count: int, data: st.DataObject) -> None:
    """Against groups that are followed one by one through two steps."""
    first = data.draw(st.integers(0, count // 2))
    merges = first, data.draw(st.integers(0, (count - first) // 2))
    cells, values = drawn(seed, 2, count, 5), drawn(seed + 1, 2, count)
    found = with_merged_cells(values, cells, merges)
    copied = with_merged_cells(values, cells, merges, divide=False)
    torch.testing.assert_close(found.sum(dim=1), values.sum(dim=1))
    groups = [[{number} for number in range(count)] for _ in range(2)]
    size = torch.ones(2, count)
    for r in filter(None, merges):
        plan = bipartite_matching(cells, r)
        groups = [_merged(own, *(part[row] for part in plan)) for row, own in enumerate(groups)]
        cells, size = functional.merge_tokens(cells, plan, size)
    for row in range(2):
        for members in map(sorted, groups[row]):
            total = values[row, members].sum()
            torch.testing.assert_close(copied[row, members], total.expand(len(members)))
            torch.testing.assert_close(found[row, members], (total / len(members)).expand(len(members)))


def _merged(groups: list[set[int]], keep: Tensor, source: Tensor, target: Tensor) -> list[set[int]]:
    left = [set(groups[old]) for old in keep]
    for old, new in zip(source, target, strict=True):
        left[new] |= groups[old]
    return left


def test_without_merges_values_stay_as_they_are() -> None:
    values = drawn(0, 2, 6)
    assert with_merged_cells(values, drawn(1, 2, 6, 3), (0, 0)) is values
