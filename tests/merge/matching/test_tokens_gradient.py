"""Merged rows are the same by each way of making them, and so are their gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from timm_mergemix.merge.matching.choose import MATCHINGS, plan_merges
from timm_mergemix.merge.matching.pass_plan import PassPlan, shared_numbers
from timm_mergemix.merge.matching.tokens import has_short_gradient, merge_flat, merge_gathered, merge_tokens

from ..reference import randn

Case = tuple[Tensor, PassPlan, Tensor]


def case(matching: str, seed: int, r: int = 5) -> Case:
    """Tokens (B, N, C) in float64, a plan, and sizes."""
    keys = randn(2, 14, 6, seed=seed)
    plan = plan_merges(matching, keys, r, 2, None, 0.0, None, shared_numbers(keys) if seed % 2 else None)
    size = torch.randint(1, 9, (2, 14), generator=torch.Generator().manual_seed(seed)).float()
    return randn(2, 14, 3, seed=seed + 1).double(), plan, size


def shares(plan: PassPlan, size: Tensor) -> Tensor:
    keep, source, target = plan.public()
    joining = size.gather(1, source)
    total = size.gather(1, keep).scatter_add(1, target, joining)
    return joining.double() / total.gather(1, target)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(MATCHINGS), st.integers(0, 999), st.integers(0, 6))
def test_gathered_rows_are_those_of_one_sequence(matching: str, seed: int, r: int) -> None:
    x, plan, size = case(matching, seed, r)
    share = shares(plan, size)
    torch.testing.assert_close(merge_gathered(x, plan, share), merge_flat(x, plan, share), rtol=1e-12, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(MATCHINGS), st.integers(0, 999), st.booleans())
def test_the_gradient_in_one_piece_is_that_of_the_single_steps(matching: str, seed: int, sized: bool) -> None:
    x, plan, size = case(matching, seed)
    size = size if sized else torch.ones_like(size)
    weight = randn(2, 9, 3, seed=seed).double()
    gradients = []
    for merge in (
        lambda x: merge_tokens(x, plan, size if sized else None, padded=False)[0],
        lambda x: merge_flat(x, plan, shares(plan, size)),
    ):
        leaf = x.clone().requires_grad_()
        gradients += torch.autograd.grad((merge(leaf) * weight).sum(), leaf)
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sized", [False, True])
def test_first_and_second_derivatives_match_finite_differences(sized: bool) -> None:
    x, plan, size = case("bipartite", 0)

    def merged(x: Tensor) -> Tensor:
        return merge_tokens(x, plan, size if sized else None, padded=False)[0]

    assert has_short_gradient(x.requires_grad_(), size, padded=False)
    assert torch.autograd.gradcheck(merged, (x,)) and torch.autograd.gradgradcheck(merged, (x,))


def test_padding_has_the_gradient_of_the_single_steps() -> None:
    x, plan, size = case("bipartite", 0)
    size[:, -6:] = 0
    x = x.requires_grad_()
    assert not has_short_gradient(x, size, padded=True)
    assert torch.autograd.gradcheck(lambda x: merge_tokens(x, plan, size)[0], (x,))


def test_forward_mode_and_vmap_pass_through_a_merge() -> None:
    x, plan, size = case("bipartite", 0)
    tangent = randn(*x.shape, seed=9).double()

    def total(x: Tensor) -> Tensor:
        return merge_tokens(x, plan, size, padded=False)[0].square().sum()

    _, forward = torch.func.jvp(total, (x,), (tangent,))
    torch.testing.assert_close(forward, (torch.func.grad(total)(x) * tangent).sum())
    both = torch.func.vmap(lambda x: merge_tokens(x, plan, size, padded=False)[0])(torch.stack([x, 2 * x]))
    torch.testing.assert_close(both[1], 2 * both[0])


def test_what_is_saved_for_the_backward_pass_are_sizes_and_plan_alone() -> None:
    x, plan, size = case("bipartite", 0)
    saved: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        merge_tokens(x.requires_grad_(), plan, size, padded=False)
    assert saved and all(tensor.ndim == 2 for tensor in saved)
