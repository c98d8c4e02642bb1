"""The pure functions under one name, and what they refuse."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
import torch

import timm_mergemix as mm
from timm_mergemix import MergeMixError, functional
from timm_mergemix.merge.matching import tokens
from timm_mergemix.merge.matching.pass_plan import PassPlan


def test_all_names_are_functions_that_say_what_they_do() -> None:
    assert functional.__all__ == sorted(functional.__all__, key=lambda name: (name[0].islower(), name))
    for name in functional.__all__:
        assert inspect.getdoc(getattr(functional, name))


def test_has_what_the_contract_names() -> None:
    assert {"bipartite_matching", "mix_images", "top_mask", "mix_targets"} <= set(functional.__all__)
    assert mm.functional is functional


def test_recover_goes_back_by_the_source_map() -> None:
    values, source = torch.randn(2, 3, 4), torch.tensor([[0, 0, 2, 1], [1, 1, 1, 0]])
    wanted = torch.stack([values[b, source[b]] for b in range(2)])
    assert torch.equal(functional.recover(values, source), wanted)
    assert torch.equal(functional.recover(values[..., 0], source), wanted[..., 0])


@pytest.mark.parametrize(
    ("values", "source", "message"),
    [
        (torch.zeros(2, 3, 4), torch.full((2, 5), 3), "^source: got indices from 3 to 3, wanted indices from 0 to 2"),
        (torch.zeros(2, 3), torch.full((2, 5), -1), "^source: got indices from -1 to -1, wanted"),
        (
            torch.zeros(2, 3, 4),
            torch.zeros(1, 5).long(),
            r"^source: got .*, wanted an integer tensor of shape",
        ),
        (torch.zeros(2, 3, 4), torch.zeros(2, 5), "^source: got"),
        (torch.zeros(3), torch.zeros(3, 1).long(), r"^values: got .*, wanted a tensor of shape \(B, K\)"),
    ],
)
def test_the_source_map_of_other_tokens_is_refused(values: torch.Tensor, source: torch.Tensor, message: str) -> None:
    with pytest.raises(MergeMixError, match=message):
        functional.recover(values, source)


PLAN = functional.bipartite_matching(torch.randn(2, 9, 4), 3, 1)


def test_a_plan_is_applied_as_in_the_forward_pass() -> None:
    x = torch.randn(2, 9, 4)
    merged, size = functional.merge_tokens(x, PLAN)
    plan = PassPlan.of(PLAN)
    wanted, sizes = tokens.merge_tokens(x, plan)
    assert torch.equal(merged, wanted) and torch.equal(size, sizes)
    assert torch.equal(functional.compose_source(PLAN), tokens.places(plan))
    assert torch.equal(functional.log_size_bias(size, torch.float32), tokens.log_size_bias(size, torch.float32))


@pytest.mark.parametrize("needs_gradient", [False, True])
def test_merged_tokens_and_sizes_can_be_viewed_as_other_shapes(needs_gradient: bool) -> None:
    x = torch.randn(2, 9, 4, requires_grad=needs_gradient)
    assert all(result.is_contiguous() for result in functional.merge_tokens(x, PLAN))


def changed_plan(name: str, value: object) -> functional.MergePlan:
    part = getattr(PLAN, name)
    return PLAN._replace(**{name: value(part) if callable(value) else value})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("keep", None, r"^plan\.keep: got None, wanted an integer tensor of shape \(B, N - r\)"),
        ("source", torch.Tensor.float, r"^plan\.source: got a float32 tensor"),
        ("target", torch.Tensor.int, r"^plan\.target: got an int32 tensor .*, wanted an int64 tensor"),
        ("target", lambda part: part[:1], r"^plan\.target: got an int64 tensor of shape \(1, 3\), wanted .*\(2, 3\)"),
        ("target", lambda part: part + 6, r"^plan\.target: got numbers from \d+ to \d+, wanted numbers from 0 to 5"),
        ("target", lambda part: part - 7, r"^plan\.target: got numbers from"),
        ("keep", torch.zeros_like, "^plan: got a plan that keeps or merges some tokens twice"),
        ("source", lambda part: part.to("meta"), r"^plan\.source: got a tensor on meta, wanted a tensor on cpu"),
    ],
)
def test_a_plan_that_is_none_is_refused(name: str, value: object, message: str) -> None:
    for call in (functional.compose_source, lambda plan: functional.merge_tokens(torch.ones(2, 9, 4), plan)):
        with pytest.raises(MergeMixError, match=message):
            call(changed_plan(name, value))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: functional.merge_tokens(torch.ones(2, 9, 4).long(), PLAN), r"^x: got .*, wanted a float tensor"),
        (
            lambda: functional.merge_tokens(torch.ones(2, 8, 4), PLAN),
            r"^plan: got a plan for 2 x 9 tokens, wanted a plan for 2 x 8",
        ),
        (lambda: functional.merge_tokens(torch.ones(2, 9, 4), None), r"^plan: got None, wanted a MergePlan"),
        (lambda: functional.merge_tokens(torch.ones(2, 9, 4), PLAN, torch.ones(2, 10)), r"^size: got .*\(2, 9\)"),
        (lambda: functional.compose_source(PLAN, torch.full((2, 12), 9)), r"^source: got indices from 9 to 9, wanted"),
        (lambda: functional.compose_source(PLAN, torch.zeros(2, 12)), r"^source: got .*, wanted an integer tensor"),
        (lambda: functional.log_size_bias(torch.ones(2, 9), torch.int64), r"^dtype: got .*, wanted a floating dtype"),
        (lambda: functional.log_size_bias(torch.ones(9), torch.float32), r"^size: got"),
        (lambda: functional.recover([[1.0]], torch.zeros(1, 1).long()), r"^values: got"),
    ],
)
def test_what_does_not_fit_a_plan_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(MergeMixError, match=message):
        call()
