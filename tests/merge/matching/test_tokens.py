"""A plan applied, and the way back."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from timm_mergemix.functional import compose_source, merge_tokens
from timm_mergemix.merge.matching import tokens
from timm_mergemix.merge.matching.bipartite import bipartite_matching
from timm_mergemix.merge.matching.tokens import log_size_bias, members, recover

from ..reference import randn, source_of

SETTINGS = settings(max_examples=40, deadline=None)


@st.composite
def cases(draw):
    """Tokens (B, N, C), a plan, and sizes or None."""
    prefix, patches, batch = draw(st.integers(0, 5)), draw(st.integers(2, 20)), draw(st.integers(1, 3))
    r, seed = draw(st.integers(0, patches // 2)), draw(st.integers(0, 2**31))
    x = randn(batch, prefix + patches, draw(st.integers(1, 6)), seed=seed)
    plan = bipartite_matching(randn(batch, prefix + patches, 8, seed=seed + 1), r, prefix)
    size = None
    if draw(st.booleans()):
        generator = torch.Generator().manual_seed(seed)
        size = torch.randint(1, 9, x.shape[:2], generator=generator).float()
    return x, plan, size, prefix


def sizes(x, size):
    return torch.ones(x.shape[:2]) if size is None else size


@SETTINGS
@given(cases())
def test_merging_is_the_size_weighted_mean_of_each_cluster(case):
    x, plan, size, _ = case
    merged, merged_size = merge_tokens(x, plan, size)
    old = sizes(x, size).double()
    for b in range(x.shape[0]):
        source = torch.tensor(source_of(plan, b))
        for k in range(merged.shape[1]):
            members = source == k
            weight = old[b, members]
            wanted = (x[b, members].double() * weight[:, None]).sum(0) / weight.sum()
            torch.testing.assert_close(merged[b, k].double(), wanted, rtol=1e-5, atol=1e-6)
            assert merged_size[b, k] == weight.sum()


@SETTINGS
@given(cases())
def test_sizes_and_weighted_sums_are_conserved(case):
    x, plan, size, _ = case
    merged, merged_size = merge_tokens(x, plan, size)
    assert torch.equal(merged_size.sum(1), sizes(x, size).sum(1))
    before = (x * sizes(x, size)[..., None]).sum(1)
    torch.testing.assert_close((merged * merged_size[..., None]).sum(1), before, rtol=1e-5, atol=1e-4)


@SETTINGS
@given(cases())
def test_tokens_that_stay_alone_keep_every_bit(case):
    x, plan, size, prefix = case
    merged, merged_size = merge_tokens(x, plan, size)
    for b in range(x.shape[0]):
        alone = [k for k in range(merged.shape[1]) if k not in plan.target[b].tolist()]
        old = plan.keep[b, alone]
        assert torch.equal(merged[b, alone], x[b, old])
        assert torch.equal(merged_size[b, alone], sizes(x, size)[b, old])
    assert torch.equal(merged[:, :prefix], x[:, :prefix])


@SETTINGS
@given(cases())
def test_the_source_map_is_a_partition_onto_the_kept_tokens(case):
    x, plan, _, prefix = case
    source = compose_source(plan)
    kept = plan.keep.shape[1]
    assert source.shape == x.shape[:2]
    assert source.dtype == torch.int64
    for b in range(x.shape[0]):
        assert source[b].tolist() == source_of(plan, b)
        assert set(source[b].tolist()) == set(range(kept))
    assert torch.equal(source.gather(1, plan.keep), torch.arange(kept).expand(x.shape[0], -1))
    assert (source[:, :prefix] == torch.arange(prefix)).all()


@SETTINGS
@given(cases())
def test_recovered_tokens_are_constant_on_clusters_and_merge_to_themselves(case):
    x, plan, size, _ = case
    merged, merged_size = merge_tokens(x, plan, size)
    source = compose_source(plan)
    back = recover(merged, source)
    for b in range(x.shape[0]):
        for i in range(x.shape[1]):
            assert torch.equal(back[b, i], merged[b, source[b, i]])
    again, again_size = merge_tokens(back, plan, size)
    torch.testing.assert_close(again, merged, rtol=1e-6, atol=1e-6)
    assert torch.equal(again_size, merged_size)
    torch.testing.assert_close(recover(again, source), back, rtol=1e-6, atol=1e-6)


@SETTINGS
@given(
    batch=st.integers(1, 3),
    patches=st.integers(4, 40),
    prefix=st.integers(0, 5),
    steps=st.integers(1, 5),
    seed=st.integers(0, 2**31),
)
def test_successive_merges_compose(batch, patches, prefix, steps, seed):
    start = x = randn(batch, prefix + patches, 3, seed=seed)
    size = source = None
    for step in range(steps):
        r = min(5, (x.shape[1] - prefix) // 2)
        plan = bipartite_matching(x + randn(*x.shape, seed=seed + step), r, prefix)
        x, size = merge_tokens(x, plan, size)
        source = compose_source(plan, source)
    count = torch.zeros_like(size).scatter_add(1, source, torch.ones(source.shape))
    assert torch.equal(size, count)
    assert (size.sum(1) == prefix + patches).all()
    assert (size[:, :prefix] == 1).all()
    assert torch.equal(x[:, :prefix], start[:, :prefix])
    # Merging the original tokens in one go by the composed map gives the same.
    sums = torch.zeros_like(x).scatter_add(1, source[..., None].expand_as(start), start)
    torch.testing.assert_close(x, sums / size[..., None], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close((x * size[..., None]).sum(1), start.sum(1), rtol=1e-4, atol=1e-4)
    # An average over the recovered tokens is the size-weighted one.
    weighted = (x * size[..., None]).sum(1) / size.sum(1, keepdim=True)
    torch.testing.assert_close(recover(x, source).mean(1), weighted, rtol=1e-4, atol=1e-5)


def test_recover_takes_values_with_and_without_channels():
    values, source = randn(2, 3, 4), torch.tensor([[0, 1, 2, 1], [2, 2, 0, 1]])
    wanted = torch.stack([values[b, source[b]] for b in range(2)])
    assert torch.equal(recover(values, source), wanted)
    assert torch.equal(recover(values[..., 0], source), wanted[..., 0])


def test_many_sources_may_merge_into_one_target():
    keys = torch.ones(1, 8, 2)
    keys[0, 3:, 1] = torch.tensor([-9.0, 1.0, -9.0, 1.0, -9.0])
    x = torch.arange(8.0).view(1, 8, 1)
    plan = bipartite_matching(keys, 4)
    merged, size = merge_tokens(x, plan)
    assert size.tolist() == [[5.0, 1.0, 1.0, 1.0]]
    assert merged.flatten().tolist() == pytest.approx([(0 + 1 + 2 + 4 + 6) / 5, 3, 5, 7])


@pytest.mark.parametrize("sized", [False, True])
def test_the_gradient_of_merge_tokens_matches_finite_differences(sized):
    plan = bipartite_matching(randn(2, 9, 4), 4, 1)
    size = torch.arange(1.0, 10.0).expand(2, -1) if sized else None
    x = randn(2, 9, 3).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: merge_tokens(x, plan, size)[0], (x,))


def test_the_gradient_of_recover_matches_finite_differences():
    source = torch.tensor([[0, 1, 2, 1], [2, 2, 0, 1]])
    x = randn(2, 3, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: recover(x, source), (x,))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 2e-3), (torch.bfloat16, 2e-2), (torch.float64, 1e-7)])
def test_tokens_keep_their_dtype_and_sizes_are_float32(dtype, tolerance):
    plan = bipartite_matching(randn(2, 17, 8), 8, 1)
    size = torch.arange(1.0, 18.0).expand(2, -1)
    x = randn(2, 17, 5).double()
    wanted, _ = merge_tokens(x, plan, size)
    merged, merged_size = merge_tokens(x.to(dtype), plan, size)
    assert merged.dtype == dtype
    assert merged_size.dtype == torch.float32
    torch.testing.assert_close(merged.double(), wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_sizes_are_float32_whatever_the_default_dtype(dtype):
    plan = bipartite_matching(randn(1, 301, 4), 150, 1)
    torch.set_default_dtype(dtype)
    try:
        _, size = merge_tokens(torch.ones(1, 301, 2), plan)
    finally:
        torch.set_default_dtype(torch.float32)
    assert size.dtype == torch.float32
    assert size.sum() == 301


def test_inputs_stay_as_they_are():
    x, size, source = randn(1, 8, 2), torch.ones(1, 8), torch.arange(8).unsqueeze(0)
    plan = bipartite_matching(x, 3)
    before = [t.clone() for t in (x, size, source, *plan)]
    merge_tokens(x, plan, size)
    compose_source(plan, source)
    assert all(torch.equal(a, b) for a, b in zip(before, (x, size, source, *plan), strict=True))


def test_the_bias_is_the_log_of_the_sizes():
    assert log_size_bias(None, torch.float32) is None
    size = torch.tensor([[1.0, 2.0, 4.0]])
    bias = log_size_bias(size, torch.bfloat16)
    assert bias.shape == (1, 1, 1, 3)
    assert bias.dtype == torch.bfloat16
    assert torch.equal(bias.flatten(), size.log().bfloat16().flatten())
    assert log_size_bias(torch.ones(1, 3), torch.float32).abs().sum() == 0


def test_attention_that_is_not_proportional_sees_all_tokens_alike_but_padding():
    size = torch.tensor([[0.0, 1.0, 3.0]])
    bias = log_size_bias(size, torch.float32, proportional=False).flatten()
    assert bias.tolist() == [torch.finfo(torch.float32).min, 0.0, 0.0]


def test_the_product_with_the_members_adds_up():
    index, values = torch.tensor([[3, 0, 3], [1, 1, 1]]), randn(2, 3, 2)
    wanted = torch.zeros(2, 4, 2).scatter_add(1, index.unsqueeze(-1).expand(-1, -1, 2), values)
    torch.testing.assert_close(members(index, 4) @ values, wanted)


def test_an_export_to_onnx_merges_the_same(monkeypatch):
    x, size = randn(2, 9, 3), 1 + randn(2, 9, seed=1).abs()
    plan = bipartite_matching(randn(2, 9, 4, seed=2), 3, 1)
    wanted = merge_tokens(x, plan, size)
    monkeypatch.setattr(tokens, "writes_onnx", lambda: True)
    for part, other in zip(merge_tokens(x, plan, size), wanted, strict=True):
        torch.testing.assert_close(part, other)
