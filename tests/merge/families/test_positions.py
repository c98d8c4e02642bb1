"""Positions of merged tokens are means over what was merged."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from timm_mergemix.functional import compose_source, merge_tokens
from timm_mergemix.merge.families.positions import merge_bias, merge_rope
from timm_mergemix.merge.matching.bipartite import bipartite_matching

from ..reference import randn


def merged(batch: int, patches: int, prefix: int, r: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Size and source map after two merges."""
    x, source, size = randn(batch, prefix + patches, 4), None, None
    for _ in range(2):
        plan = bipartite_matching(x, min(r, (x.shape[1] - prefix) // 2), prefix)
        x, size = merge_tokens(x, plan, size)
        source = compose_source(plan, source)
    return size, source


@settings(deadline=None, max_examples=30)
@given(
    shape=st.sampled_from([(), (3,), (2, 1), (2, 3)]),
    patches=st.integers(2, 12),
    prefix=st.integers(0, 2),
    r=st.integers(1, 4),
)
def test_rope_is_the_mean_over_members(shape: tuple[int, ...], patches: int, prefix: int, r: int) -> None:
    size, source = merged(2, patches, prefix, r)
    rope = randn(*shape, patches, 6, seed=1)
    got = merge_rope(rope, source, size, prefix)
    rows = rope[(None,) * (4 - rope.ndim)].expand(2, -1, -1, -1)
    for sample in range(2):
        for token in range(prefix, size.shape[1]):
            members = (source[sample, prefix:] == token).nonzero().flatten()
            torch.testing.assert_close(got[sample, :, token - prefix], rows[sample][:, members].mean(dim=1))


def test_rope_of_unmerged_tokens_is_passed_on() -> None:
    rope = randn(9, 4)
    assert merge_rope(rope, None, None, 1) is rope


def test_rope_keeps_its_dtype() -> None:
    size, source = merged(1, 6, 1, 2)
    assert merge_rope(randn(6, 4).bfloat16(), source, size, 1).dtype == torch.bfloat16


def test_rope_of_padding_counts_for_nothing() -> None:
    rope = randn(4, 6)
    source = torch.tensor([[0, 0, 1, 1]])
    valid = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    got = merge_rope(rope, source, torch.tensor([[1.0, 0.0]]), 0, valid)
    assert torch.equal(got[0, 0, 0], rope[0])
    assert (got[0, 0, 1] == 0).all()


@settings(deadline=None, max_examples=30)
@given(
    leading=st.sampled_from([(3,), (1, 3)]),
    patches=st.integers(2, 10),
    prefix=st.integers(0, 2),
    r=st.integers(1, 4),
    proportional=st.booleans(),
    scale=st.sampled_from([0.1, 1.0, 8.0]),
)
def test_bias_is_a_logsumexp_over_keys_and_a_mean_over_queries(
    leading, patches, prefix, r, proportional, scale
) -> None:
    size, source = merged(2, patches, prefix, r)
    bias = scale * randn(*leading, prefix + patches, prefix + patches, seed=1)
    got = merge_bias(bias, source, size, proportional)
    assert got.shape == (2, 3, size.shape[1], size.shape[1])
    for sample in range(2):
        members = [(source[sample] == token).nonzero().flatten() for token in range(size.shape[1])]
        for query, queries in enumerate(members):
            for key, keys in enumerate(members):
                wanted = bias.reshape(3, *bias.shape[-2:])[:, queries][:, :, keys].logsumexp(dim=-1).mean(dim=-1)
                wanted = wanted if proportional else wanted - math.log(len(keys))
                torch.testing.assert_close(got[sample, :, query, key], wanted, rtol=1e-4, atol=1e-4)


def test_bias_far_below_the_highest_is_finite_and_has_a_gradient() -> None:
    bias = torch.tensor([[[0.0, -500.0], [-500.0, 0.0]]], requires_grad=True)
    got = merge_bias(bias, torch.tensor([[0, 1]]), torch.ones(1, 2))
    got.softmax(-1).square().sum().backward()
    assert got.isfinite().all()
    assert bias.grad.isfinite().all()


def test_bias_keeps_its_dtype_and_is_computed_in_float32_under_autocast() -> None:
    size, source = merged(1, 6, 1, 2)
    bias = randn(2, 7, 7)
    with torch.autocast("cpu", torch.bfloat16):
        inside = merge_bias(bias, source, size)
    assert torch.equal(inside, merge_bias(bias, source, size))
    assert merge_bias(bias.bfloat16(), source, size).dtype == torch.bfloat16
