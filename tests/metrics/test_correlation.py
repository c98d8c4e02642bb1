"""The rank correlation agrees with scipy."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from timm_mergemix import MergeMixError
from timm_mergemix.metrics import rank_correlation

from ..mix.batches import quick

number = st.integers(-4, 4) | st.floats(-1e6, 1e6, width=32) | st.sampled_from([0.0, -0.0, math.inf, -math.inf])
lists = st.lists(st.tuples(number, number), min_size=2, max_size=30)
FLOATS = torch.tensor([0.1, 0.5, 0.3, 0.9])


@quick
@given(lists, st.sampled_from([torch.float32, torch.float64]))
def test_the_correlation_agrees_with_scipy(rows: list[tuple[float, float]], dtype: torch.dtype) -> None:
    a, b = torch.tensor(rows, dtype=dtype).unbind(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns about constant input
        wanted = spearmanr(a.numpy(), b.numpy()).statistic
    got = rank_correlation(a, b)
    assert got.dtype == dtype
    assert got.item() == pytest.approx(wanted, abs=1e-6, nan_ok=True)


@quick
@given(st.lists(st.integers(-50, 50), min_size=2, max_size=20).filter(lambda values: len(set(values)) > 1))
def test_only_the_order_of_the_values_matters(values: list[int]) -> None:
    a = torch.tensor(values)
    for b, wanted in ((a, 1), ((a / 20).exp(), 1), (-(a**3), -1)):
        assert rank_correlation(a, b).item() == pytest.approx(wanted, abs=1e-6)
        assert abs(rank_correlation(a, b)) <= 1


@quick
@given(lists, st.randoms(use_true_random=False))
def test_the_order_of_samples_does_not_matter(rows: list[tuple[float, float]], random: object) -> None:
    a, b = torch.tensor(rows).unbind(1)
    random.shuffle(rows)
    c, d = torch.tensor(rows).unbind(1)
    for other in (rank_correlation(c, d), rank_correlation(b, a)):
        torch.testing.assert_close(rank_correlation(a, b), other, atol=1e-6, rtol=0, equal_nan=True)


def test_ties_agree_with_a_calculation_by_hand() -> None:
    # Ranks 1.5, 1.5, 3 and 1, 2, 3: 1.5 / sqrt(1.5 * 2)
    assert rank_correlation(torch.tensor([0.0, 0, 1]), torch.tensor([1, 2, 3])).item() == pytest.approx(0.75**0.5)


def test_constants_nan_and_too_few_values_give_nan() -> None:
    for values in (torch.ones(4), torch.tensor([math.nan, 1, 2, 3])):
        assert rank_correlation(values, FLOATS).isnan() and rank_correlation(FLOATS, values).isnan()
    for count in (0, 1):
        assert rank_correlation(FLOATS[:count], FLOATS[:count]).isnan()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.uint8, torch.int64, torch.bool])
def test_integers_and_half_precision_give_float32(dtype: torch.dtype) -> None:
    values = torch.tensor([0, 1, 1, 0], dtype=dtype)
    got = rank_correlation(values, FLOATS)
    assert got.dtype == torch.float32
    assert got.item() == pytest.approx(rank_correlation(values.float(), FLOATS).item())
    assert rank_correlation(values, FLOATS.double()).dtype == torch.float64


def test_many_samples_do_not_overflow() -> None:
    values = torch.arange(300_000)
    shuffled = values[torch.randperm(len(values), generator=torch.Generator().manual_seed(0))]
    assert rank_correlation(values, values).item() == pytest.approx(1, abs=1e-5)
    assert rank_correlation(values, shuffled).item() == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(
    ("argument", "a", "b"),
    [
        ("a", [1.0, 2.0], FLOATS),
        ("a", FLOATS.view(2, 2), FLOATS),
        ("a", FLOATS.to(torch.complex64), FLOATS),
        ("b", FLOATS, FLOATS[:3]),
        ("b", FLOATS, FLOATS.to(torch.complex64)),
    ],
)
def test_bad_input_is_named(argument: str, a: object, b: object) -> None:
    with pytest.raises(MergeMixError, match=rf"^{argument}: got .* wanted"):
        rank_correlation(a, b)
