"""Keys -> plan."""

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from timm_mergemix import MergeMixError
from timm_mergemix.merge.matching import bipartite_matching

from .reference import no_near_ties, randn, soft_matching, source_of

SETTINGS = settings(max_examples=50, deadline=None)


@st.composite
def cases(draw, max_patches=20):
    """Keys (B, N, D), r and the number of prefix tokens."""
    prefix, patches = draw(st.integers(0, 5)), draw(st.integers(0, max_patches))
    assume(prefix + patches > 0)
    keys = randn(draw(st.integers(1, 3)), prefix + patches, draw(st.integers(1, 9)), seed=draw(st.integers(0, 2**31)))
    return keys, draw(st.integers(0, patches // 2)), prefix


@SETTINGS
@given(cases())
def test_the_plan_is_a_partition(case):
    keys, r, prefix = case
    batch, length, _ = keys.shape
    plan = bipartite_matching(keys, r, prefix)
    assert plan.keep.shape == (batch, length - r)
    assert plan.source.shape == plan.target.shape == (batch, r)
    assert all(part.dtype == torch.int64 for part in plan)
    for b in range(batch):
        assert sorted([*plan.keep[b].tolist(), *plan.source[b].tolist()]) == list(range(length))


@SETTINGS
@given(cases())
def test_prefix_tokens_stay_first_and_never_merge(case):
    keys, r, prefix = case
    plan = bipartite_matching(keys, r, prefix)
    assert (plan.keep[:, :prefix] == torch.arange(prefix)).all()
    assert (plan.source >= prefix).all()
    assert (plan.target >= prefix).all()


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
def test_equals_the_slow_reference(case):
    keys, r, prefix = case
    assume(keys.shape[2] > 1 and all(no_near_ties(sample, prefix) for sample in keys))
    plan = bipartite_matching(keys, r, prefix)
    for b, sample in enumerate(keys.double().tolist()):
        keep, merges = soft_matching(sample, r, prefix)
        assert plan.keep[b].tolist() == keep
        new = plan.target[b].tolist()
        assert {a: keep[t] for a, t in zip(plan.source[b].tolist(), new, strict=True)} == merges


def test_equals_the_slow_reference_on_a_real_size():
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
@given(cases(), st.integers(0, 2**31))
def test_other_samples_have_no_influence(case, seed):
    keys, r, prefix = case
    assume(all(no_near_ties(sample, prefix) for sample in keys))
    others = randn(*keys.shape, seed=seed)
    others[0] = keys[0]
    for one, other in zip(bipartite_matching(keys, r, prefix), bipartite_matching(others, r, prefix), strict=True):
        assert torch.equal(one[0], other[0])


@SETTINGS
@given(cases(), st.floats(0.01, 100))
def test_the_scale_of_the_keys_has_no_influence(case, scale):
    keys, r, prefix = case
    assume(all(no_near_ties(sample, prefix) for sample in keys))
    for one, other in zip(
        bipartite_matching(keys, r, prefix), bipartite_matching(keys * scale, r, prefix), strict=True
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtypes_are_compared_in_float32(dtype):
    keys = randn(2, 17, 8).to(dtype)
    for one, other in zip(bipartite_matching(keys, 5, 1), bipartite_matching(keys.float(), 5, 1), strict=True):
        assert torch.equal(one, other)


def test_autocast_does_not_coarsen_the_comparison():
    keys = randn(2, 65, 8)
    plain = bipartite_matching(keys, 20, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = bipartite_matching(keys, 20, 1)
    assert all(torch.equal(one, other) for one, other in zip(plain, cast, strict=True))


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0])
@pytest.mark.parametrize("where", ["one", "all"])
def test_degenerate_keys_give_a_valid_plan(value, where):
    keys = randn(2, 12, 4)
    keys[0, 5 if where == "one" else slice(None)] = value
    plan = bipartite_matching(keys, 4, 1)
    for b in range(2):
        assert sorted([*plan.keep[b].tolist(), *plan.source[b].tolist()]) == list(range(12))
        assert set(source_of(plan, b)) == set(range(8))
    assert (plan.target >= 1).all()


def test_the_plan_has_no_gradient_and_leaves_the_keys():
    keys = randn(2, 9, 4).requires_grad_()
    before = keys.detach().clone()
    plan = bipartite_matching(keys, 3, 1)
    assert not any(part.requires_grad for part in plan)
    assert torch.equal(keys, before)


@pytest.mark.parametrize(("length", "prefix", "r"), [(16, 0, 9), (17, 1, 9), (5, 5, 1), (1, 0, 1), (3, 5, 1)])
def test_more_than_half_is_refused(length, prefix, r):
    most = max(length - prefix, 0) // 2
    with pytest.raises(MergeMixError, match=f"r: got {r}, wanted at most {most}"):
        bipartite_matching(randn(1, length, 4), r, prefix)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((randn(4, 4), 1), "keys"),
        ((randn(1, 2, 4, 4), 1), "keys"),
        ((torch.ones(1, 4, 4, dtype=torch.int64), 1), "keys"),
        (([[1.0]], 0), "keys"),
        ((randn(1, 4, 4), -1), "r"),
        ((randn(1, 4, 4), 1.0), "r"),
        ((randn(1, 4, 4), True), "r"),
        ((randn(1, 4, 4), 1, -1), "prefix_tokens"),
        ((randn(1, 4, 4), 1, 0.5), "prefix_tokens"),
    ],
)
def test_bad_input_is_refused(arguments, name):
    with pytest.raises(MergeMixError, match=f"^{name}: got "):
        bipartite_matching(*arguments)
