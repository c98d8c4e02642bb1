"""A lam is drawn for each image, and limited so that some of the partner is left."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from timm_mergemix.vlm.draw import LoserDraw

from ..mix.batches import quick

alphas = st.floats(0.001, 5)


def draw(most=0.9, count=200, seed=0):
    return LoserDraw(np.random.default_rng(seed), count, most)


@quick
@given(st.integers(0, 999), alphas, st.floats(0, 1))
def test_lambda_never_exceeds_its_limit(seed, alpha, most):
    values = draw(most, seed=seed).beta(alpha)
    assert values.shape == (200,)
    assert (values >= 0).all() and (values <= most).all()


@quick
@given(st.integers(0, 999), alphas)
def test_below_its_limit_lambda_follows_the_beta_distribution(seed, alpha):
    values, free = draw(0.9, seed=seed).beta(alpha), np.random.default_rng(seed).beta(alpha, alpha, 200)
    assert np.array_equal(values[free < 0.9], free[free < 0.9])


def test_lambda_differs_from_image_to_image_and_from_call_to_call():
    draws = draw()
    first, second = draws.beta(1.0), draws.beta(1.0)
    assert len(np.unique(first[first < 0.9])) == (first < 0.9).sum()
    assert not np.array_equal(first, second)


def test_zero_images_need_zero_numbers():
    assert draw(count=0).beta(1.0).shape == (0,)
