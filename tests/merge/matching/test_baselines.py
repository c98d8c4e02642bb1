"""The matchings to compare others with: every k-th token as a target, and tokens drawn evenly."""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from timm_mergemix.merge.matching.baselines import kth_matching, random_matching

from ..reference import randn
from .plans import SETTINGS, flags, merges_of, padded_cases
from .slow_matching import NearTieError, slow_kth, slow_partners


@SETTINGS
@given(padded_cases(low_dim=2, max_patches=14), st.integers(2, 20))
def test_kth_equals_the_slow_reference_for_any_k(case, k):
    keys, r, prefix, padding = case
    plan = kth_matching(*case, k=k)
    for b, sample in enumerate(keys.double().tolist()):
        try:
            wanted = slow_kth(sample, flags(padding, b, len(sample)), r, prefix, k)
        except NearTieError:
            assume(False)
        assert merges_of(plan, b) == wanted


@pytest.mark.parametrize("k", [2, 3, 4, 50])
@pytest.mark.parametrize("patches", range(9))
def test_kth_can_merge_half_of_the_tokens(patches, k):
    for prefix in (0, 1, 2):
        plan = kth_matching(randn(2, prefix + patches, 4), patches // 2, prefix, k=k)
        assert plan.source.shape == (2, patches // 2)
        assert not ((plan.source - prefix) % k == 0).any()
        assert ((plan.keep.gather(1, plan.target) - prefix) % k == 0).all()


def test_no_token_is_protected_by_default():
    keys = randn(1, 6, 4)
    keys[0, 1] = keys[0, 0]
    assert merges_of(kth_matching(keys, 1), 0) == {1: 0}
    assert all(torch.equal(a, b) for a, b in zip(kth_matching(keys, 2), kth_matching(keys, 2, 0), strict=True))


@SETTINGS
@given(padded_cases(low_dim=2, max_patches=14))
def test_drawn_tokens_merge_as_in_the_slow_reference(case):
    keys, _, prefix, padding = case
    plan = random_matching(*case)
    for b, sample in enumerate(keys.double().tolist()):
        try:
            wanted = slow_partners(sample, flags(padding, b, len(sample)), plan.source[b].tolist(), prefix)
        except NearTieError:
            assume(False)
        assert merges_of(plan, b) == wanted


def test_all_sets_of_tokens_are_equally_likely():
    batch, pairs = 15_000, [(a, b) for b in range(1, 7) for a in range(1, b)]
    source = random_matching(randn(1, 7, 4).expand(batch, -1, -1), 2, 1, generator=seeded(0)).source
    drawn = [tuple(sorted(pair)) for pair in source.tolist()]
    for pair in pairs:  # 15 pairs, 1000 draws of each wanted, standard deviation 31
        assert abs(drawn.count(pair) - 1000) < 5 * 31


def test_padding_is_drawn_evenly_and_all_but_one():
    batch, padding = 9000, torch.tensor([[False, True, False, True, True, False]])
    keys = randn(1, 6, 4).expand(batch, -1, -1)
    plan = random_matching(keys, 3, 0, padding.expand(batch, -1), generator=seeded(1))
    assert (padding[0][plan.source].sum(dim=1) == 2).all()
    for b in range(6):  # each padding token stays in a third, each patch is drawn in a third
        share = (plan.source == b).any(dim=1).float().mean().item()
        assert abs(share - (2 / 3 if padding[0, b] else 1 / 3)) < 0.025


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_the_seed_or_the_generator_governs_the_draw():
    keys = randn(4, 40, 4)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    one, two = random_matching(keys, 10), random_matching(keys, 10)
    assert not torch.equal(one.source, two.source)
    assert not torch.equal(one.source[0], one.source[1])
    torch.manual_seed(3)
    assert torch.equal(random_matching(keys, 10).source, one.source)

    torch.set_rng_state(state)
    drawn = random_matching(keys, 10, generator=seeded(5)).source
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(random_matching(keys, 10, generator=seeded(5)).source, drawn)
    assert not torch.equal(random_matching(keys, 10, generator=seeded(6)).source, drawn)
