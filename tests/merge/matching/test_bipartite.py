"""Bipartite matching merges the strongest edges between even and odd tokens."""

import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from timm_mergemix.merge.matching.bipartite import bipartite_matching

from ..reference import no_near_ties, randn, soft_matching
from .plans import SETTINGS, cases


@SETTINGS
@given(cases())
def test_order_is_prefix_then_unmerged_a_then_b(case):
    keys, r, prefix = case
    length = keys.shape[1]
    in_b = [i for i in range(prefix, length) if i % 2]
    plan = bipartite_matching(keys, r, prefix)
    for kept, source, target in zip(*(part.tolist() for part in plan), strict=True):
        unmerged = [i for i in range(prefix, length) if i % 2 == 0 and i not in source]
        assert kept == [*range(prefix), *unmerged, *in_b]
        assert all(i % 2 == 0 for i in source)
        assert all(kept[t] in in_b for t in target)


@SETTINGS
@given(cases(max_patches=14))
def test_plans_equal_the_slow_reference(case):
    keys, r, prefix = case
    assume(keys.shape[2] > 1 and all(no_near_ties(sample, prefix) for sample in keys))
    plan = bipartite_matching(keys, r, prefix)
    for b, sample in enumerate(keys.double().tolist()):
        keep, merges = soft_matching(sample, r, prefix)
        assert plan.keep[b].tolist() == keep
        new = plan.target[b].tolist()
        assert {a: keep[t] for a, t in zip(plan.source[b].tolist(), new, strict=True)} == merges


def test_plans_equal_the_slow_reference_on_a_real_size():
    keys = randn(2, 198, 32)
    assert all(no_near_ties(sample, 2, gap=1e-8) for sample in keys)
    plan = bipartite_matching(keys, 40, 2)
    for b, sample in enumerate(keys.double().tolist()):
        keep, merges = soft_matching(sample, 40, 2)
        assert plan.keep[b].tolist() == keep
        assert {a: keep[t] for a, t in zip(plan.source[b].tolist(), plan.target[b].tolist(), strict=True)} == merges


def test_similarity_is_the_cosine_not_the_product():
    # Token 0 points as token 1 does; token 3 points elsewhere but is much longer.
    keys = torch.tensor([[[1.0, 0.1], [1.0, 0.0], [0.0, 1.0], [100.0, 100.0]]])
    plan = bipartite_matching(keys, 1)
    assert plan.source.tolist() == [[0]]
    assert plan.keep[0, plan.target[0, 0]] == 1


@SETTINGS
@given(cases(), st.floats(0.01, 100))
def test_the_scale_of_the_keys_has_no_influence(case, scale):
    keys, r, prefix = case
    assume(all(no_near_ties(sample, prefix) for sample in keys))
    for one, other in zip(
        bipartite_matching(keys, r, prefix), bipartite_matching(keys * scale, r, prefix), strict=True
    ):
        assert torch.equal(one, other)
