"""A mask keeps the top patches, in the exact number, without leaning to a corner."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from timm_mergemix import MergeMixError
from timm_mergemix.mix.mask import box_mask, count_patches, expand_mask, top_mask

from .batches import quick


@quick
@given(st.floats(0, 1), st.integers(1, 1024))
def test_count_is_lambda_rounded_half_up(lam: float, length: int) -> None:
    exact = Fraction(lam) * length + Fraction(1, 2)
    if exact.denominator > 2**40 and abs(exact - round(exact)) < Fraction(1, 10**9):
        return  # float64 cannot tell on which side of the integer it lies
    assert count_patches(torch.tensor([lam], dtype=torch.float64), length).tolist() == [exact.__floor__()]


def test_halves_round_up() -> None:
    lam = torch.tensor([0.0, 0.125, 0.375, 0.5, 1.0], dtype=torch.float64)
    assert count_patches(lam, 4).tolist() == [0, 1, 2, 2, 4]


grids = st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 7))


@quick
@given(grids, st.integers(0, 10**6), st.sampled_from([1, 2, 5, 1000]), st.data())
def test_top_mask_is_the_top_set_with_exact_count(
    grid: tuple[int, int, int], seed: int, levels: int, data: st.DataObject
) -> None:
    batch, rows, columns = grid
    generator = torch.Generator().manual_seed(seed)
    # Few levels: many ties.
    saliency = torch.randint(levels, grid, generator=generator).float() / levels
    count = torch.tensor(data.draw(st.lists(st.integers(0, rows * columns), min_size=batch, max_size=batch)))
    mask = top_mask(saliency, count, torch.rand(batch, rows * columns, generator=generator))
    assert mask.dtype == torch.bool
    assert mask.shape == saliency.shape
    assert mask.flatten(1).sum(1).tolist() == count.tolist()
    for row in range(batch):
        kept, left = saliency[row][mask[row]], saliency[row][~mask[row]]
        if len(kept) and len(left):
            assert kept.min() >= left.max()


def test_ties_lean_to_no_corner() -> None:
    trials, rows, columns = 4000, 4, 5
    noise = torch.rand(trials, rows * columns, generator=torch.Generator().manual_seed(0))
    saliency = torch.full((trials, rows, columns), 0.05)
    kept = top_mask(saliency, torch.full((trials,), 5), noise).float().mean(0)
    # 0.25 with a standard deviation of 0.007.
    assert (kept - 0.25).abs().max() < 0.035


def test_ties_follow_the_noise() -> None:
    noise = torch.tensor([[0.4, 0.1, 0.3, 0.2]])
    mask = top_mask(torch.ones(1, 2, 2), torch.tensor([2]), noise)
    assert mask.tolist() == [[[False, True], [False, True]]]
    salient = torch.tensor([[[0.5, 0.1], [0.1, 0.1]]])
    assert top_mask(salient, torch.tensor([2]), noise).tolist() == [[[True, True], [False, False]]]


@quick
@given(grids, st.integers(0, 10**6))
def test_top_mask_permutes_with_its_rows(grid: tuple[int, int, int], seed: int) -> None:
    batch, rows, columns = grid
    generator = torch.Generator().manual_seed(seed)
    saliency = torch.randint(3, grid, generator=generator).float()
    count = torch.randint(rows * columns + 1, (batch,), generator=generator)
    noise = torch.rand(batch, rows * columns, generator=generator)
    order = torch.randperm(batch, generator=generator)
    mask = top_mask(saliency, count, noise)
    assert torch.equal(top_mask(saliency[order], count[order], noise[order]), mask[order])


@quick
@given(grids, st.integers(1, 33), st.integers(1, 33), st.integers(0, 10**6))
def test_expand_gives_each_pixel_its_patch(grid: tuple[int, int, int], height: int, width: int, seed: int) -> None:
    batch, rows, columns = grid
    patches = torch.rand(grid, generator=torch.Generator().manual_seed(seed)) > 0.5
    pixels = expand_mask(patches, height, width)
    assert pixels.shape == (batch, 1, height, width)
    for y in range(height):
        for x in range(width):
            assert torch.equal(pixels[:, 0, y, x], patches[:, y * rows // height, x * columns // width])


def test_expand_repeats_patches_where_the_grid_divides() -> None:
    patches = torch.tensor([[[True, False, True], [False, False, True]]])
    blocks = patches.repeat_interleave(4, 1).repeat_interleave(3, 2)
    assert torch.equal(expand_mask(patches, 8, 9)[:, 0], blocks)


@quick
@given(st.lists(st.tuples(*[st.integers(0, 9)] * 2, *[st.integers(0, 7)] * 2), min_size=1, max_size=4))
def test_box_is_false_inside(boxes: list[tuple[int, int, int, int]]) -> None:
    ordered = [(*sorted(box[:2]), *sorted(box[2:])) for box in boxes]
    mask = box_mask(torch.tensor(ordered), 9, 7)
    wanted = torch.ones(len(boxes), 1, 9, 7, dtype=torch.bool)
    for row, (top, bottom, left, right) in enumerate(ordered):
        wanted[row, 0, top:bottom, left:right] = False
    assert torch.equal(mask, wanted)


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("lam", lambda: count_patches(torch.tensor(0.5), 4)),
        ("lam", lambda: count_patches(torch.tensor([1]), 4)),
        ("lam", lambda: count_patches(torch.tensor([0.5, 2.0]), 4)),
        ("lam", lambda: count_patches(torch.tensor([float("nan")]), 4)),
        ("length", lambda: count_patches(torch.tensor([0.5]), 0)),
        ("saliency", lambda: top_mask(torch.rand(2, 4), torch.tensor([1, 1]), torch.rand(2, 4))),
        ("count", lambda: top_mask(torch.rand(2, 2, 2), torch.tensor([1]), torch.rand(2, 4))),
        ("count", lambda: top_mask(torch.rand(1, 2, 2), torch.tensor([0.5]), torch.rand(1, 4))),
        ("count", lambda: top_mask(torch.rand(1, 2, 2), torch.tensor([-1]), torch.rand(1, 4))),
        ("count", lambda: top_mask(torch.rand(1, 2, 2), torch.tensor([5]), torch.rand(1, 4))),
        ("noise", lambda: top_mask(torch.rand(2, 2, 2), torch.tensor([1, 1]), torch.rand(2, 2, 2))),
        ("noise", lambda: top_mask(torch.rand(2, 2, 2), torch.tensor([1, 1]), torch.rand(2, 3))),
        ("noise", lambda: top_mask(torch.rand(2, 2, 2), torch.tensor([1, 1]), torch.rand(1, 4))),
        ("mask", lambda: expand_mask(torch.ones(2, 2), 4, 4)),
        ("height", lambda: expand_mask(torch.ones(1, 2, 2), 0, 4)),
        ("width", lambda: expand_mask(torch.ones(1, 2, 2), 4, 2.5)),
        ("boxes", lambda: box_mask(torch.zeros(2, 3, dtype=torch.long), 4, 4)),
        ("boxes", lambda: box_mask(torch.zeros(2, 4), 4, 4)),
        ("boxes", lambda: box_mask(torch.tensor([[0, 5, 0, 3]]), 4, 3)),
        ("boxes", lambda: box_mask(torch.tensor([[0, 4, 0, 4]]), 4, 3)),
        ("boxes", lambda: box_mask(torch.tensor([[-1, 4, 0, 3]]), 4, 3)),
        ("boxes", lambda: box_mask(torch.tensor([[0, 4, -1, 3]]), 4, 3)),
        ("boxes", lambda: box_mask(torch.tensor([[0, 4, 0, 3], [3, 2, 0, 3]]), 4, 3)),
        ("boxes", lambda: box_mask(torch.tensor([[0, 4, 2, 1]]), 4, 3)),
    ],
)
def test_bad_input_is_named(argument: str, call: object) -> None:
    with pytest.raises(MergeMixError, match=rf"^{argument}: got"):
        call()
