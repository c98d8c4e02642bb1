"""All random numbers of a mix come from one seed, and groups of rows share theirs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from timm_mergemix import MergeMixError
from timm_mergemix.mix.draw import Draw, group_rows, numpy_rng

from .batches import quick


def draw(groups: list[int] | np.ndarray, seed: int = 0) -> Draw:
    return Draw(np.random.default_rng(seed), np.asarray(groups, dtype=np.int64))


def test_the_torch_seed_governs() -> None:
    torch.manual_seed(3)
    first = numpy_rng().random(4)
    torch.manual_seed(3)
    assert (numpy_rng().random(4) == first).all()
    assert (numpy_rng().random(4) != first).all()


def test_a_generator_governs_and_the_global_state_stays() -> None:
    before = torch.get_rng_state()
    first = numpy_rng(torch.Generator().manual_seed(3)).random(4)
    assert (numpy_rng(torch.Generator().manual_seed(3)).random(4) == first).all()
    assert torch.equal(torch.get_rng_state(), before)


def test_numpy_rng_takes_one_number() -> None:
    generator, twin = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    numpy_rng(generator)
    torch.randint(2**63 - 1, (), generator=twin)
    assert torch.equal(generator.get_state(), twin.get_state())


@pytest.mark.parametrize(
    ("mode", "batch", "groups"),
    [
        ("batch", 3, [0, 0, 0]),
        ("pair", 4, [0, 1, 1, 0]),
        ("pair", 5, [0, 1, 2, 1, 0]),
        ("pair", 1, [0]),
        ("elem", 3, [0, 1, 2]),
    ],
)
def test_a_mode_groups_the_rows(mode: str, batch: int, groups: list[int]) -> None:
    assert group_rows(mode, batch).tolist() == groups


@quick
@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.integers(0, 1000))
def test_rows_of_a_group_share_numbers(groups: list[int], seed: int) -> None:
    for values in (
        draw(groups, seed).uniform(),
        draw(groups, seed).beta(0.7),
        draw(groups, seed).integers(0, 10**9),
    ):
        for i, own in enumerate(groups):
            for j, other in enumerate(groups):
                assert (values[i] == values[j]) == (own == other)


@quick
@given(st.integers(0, 1000), st.integers(0, 30), st.integers(1, 30))
def test_integers_stay_in_range(seed: int, low: int, span: int) -> None:
    values = draw(range(50), seed).integers(low, low + span)
    assert values.dtype == np.int64
    assert values.min() >= low
    assert values.max() < low + span


def test_integers_may_have_limits_of_their_own_in_each_row() -> None:
    high = np.array([1, 2, 300])
    values = np.stack([draw([0, 1, 2], seed).integers(0, high) for seed in range(300)])
    assert (values < high).all()
    assert set(values[:, 1]) == {0, 1}
    assert values[:, 2].max() > 250


def test_integers_are_drawn_uniformly() -> None:
    counts = np.bincount(draw(range(7000)).integers(0, 7), minlength=7)
    assert stats.chisquare(counts).pvalue > 1e-4


@pytest.mark.parametrize("alpha", [0.1, 0.8, 1.0, 4.0])
def test_beta_numbers_have_the_beta_distribution(alpha: float) -> None:
    assert stats.kstest(draw(range(4000)).beta(alpha), stats.beta(alpha, alpha).cdf).pvalue > 1e-4


def test_uniform_has_its_limits() -> None:
    values = draw(range(4000)).uniform(0.2, 0.6)
    assert stats.kstest(values, stats.uniform(0.2, 0.4).cdf).pvalue > 1e-4


def test_normal_and_noise_have_numbers_of_their_own_in_each_row() -> None:
    normal = draw([0] * 2000).normal()
    assert len(np.unique(normal)) == 2000
    assert stats.kstest(normal, "norm").pvalue > 1e-4
    noise = draw([0] * 20).noise(100)
    assert noise.dtype == torch.float32
    assert noise.shape == (20, 100)
    assert len(noise.unique(dim=0)) == 20
    assert stats.kstest(noise.flatten().numpy(), "uniform").pvalue > 1e-4


def test_no_rows_take_no_numbers() -> None:
    assert draw([]).uniform().shape == (0,)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Draw(None, group_rows("elem", 3)), r"^rng: got None, wanted a numpy\.random\.Generator"),
        (lambda: Draw(numpy_rng(), [0, 1]), r"^groups: got \[0, 1\], wanted an array of integers"),
        (lambda: Draw(numpy_rng(), np.array([0, -1])), "^groups: got"),
        (lambda: Draw(numpy_rng(), np.array([0.0, 1.0])), "^groups: got"),
        (lambda: Draw(numpy_rng(), np.zeros((2, 2), dtype=np.int64)), "^groups: got"),
        (lambda: draw([0]).beta(0), "^alpha: got 0, wanted a finite number > 0"),
        (lambda: draw([0]).beta(float("nan")), "^alpha: got nan, wanted a finite number"),
    ],
)
def test_what_nothing_can_be_drawn_from_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(MergeMixError, match=message):
        make()


def test_groups_may_be_those_of_some_rows() -> None:
    assert draw([0, 3]).uniform().shape == (2,)
