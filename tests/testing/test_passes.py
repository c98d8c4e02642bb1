"""Passes returns outputs, records and merges of forward passes, and can change the tokens on their way in."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import timm_mergemix as mm
from timm_mergemix.testing.passes import MergeCase, Passes, first_tensor, output_of
from timm_mergemix.testing.properties import RefusedError

from ..merge.patched import assert_unchanged, snapshot
from ..models import images, tiny


@pytest.fixture
def passes() -> Passes:
    return Passes(tiny(), mm.patch(tiny(), 0), {})


CASE = MergeCase(torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)), [3, 0, 2], "bipartite", 0)


def test_outputs_with_and_without_merging(passes: Passes) -> None:
    plain = passes.plain(CASE.images)
    assert torch.equal(plain, output_of(tiny(), CASE.images)) and not plain.requires_grad
    assert torch.equal(passes.merged(CASE._replace(r=0)), plain)
    assert torch.equal(passes.merged(CASE), output_of(mm.patch(tiny(), [3, 0, 2]), CASE.images))


def test_random_matchings_repeat_from_the_same_seed(passes: Passes) -> None:
    case = CASE._replace(r=4, matching="random")
    assert torch.equal(passes.merged(case), passes.merged(case))
    assert not torch.equal(passes.merged(case), passes.merged(case._replace(seed=1)))


def test_merges_gives_the_tokens_around_each_merge(passes: Passes) -> None:
    passes.merged(CASE)  # the first pass that merges adds hooks on the keys
    before = snapshot(passes._patched)
    merges = passes.merges(CASE)
    assert [merge.before.shape[1] for merge in merges.values()] == [17, 14, 14]
    assert [merge.after.shape[1] for merge in merges.values()] == [14, 14, 12]
    assert (merges[0].weights == 1).all() and torch.equal(merges[2].weights, merges[1].size)
    assert torch.equal(merges[1].step, torch.arange(14).expand(2, -1))
    for merge in merges.values():
        found = torch.zeros_like(merge.size).scatter_add(1, merge.step, merge.weights)
        assert torch.equal(found, merge.size)
    assert_unchanged(before, passes._patched)


def test_merges_is_empty_if_nothing_merges(passes: Passes) -> None:
    assert passes.merges(CASE._replace(r=0)) == {}


def test_an_r_that_cannot_be_met_is_refused(passes: Passes) -> None:
    with pytest.raises(RefusedError):
        passes.merged(CASE._replace(r=[1]))


def test_with_tokens_changes_the_tokens_on_their_way_in(passes: Passes) -> None:
    merged, plain = passes.with_tokens(CASE, lambda tokens: torch.zeros_like(tokens))
    assert torch.allclose(plain[0], plain[1]) and torch.allclose(merged, plain, atol=1e-5)
    last = passes.last_tokens(CASE, lambda tokens: torch.zeros_like(tokens))
    assert last.shape == (2, 17, 48) and torch.allclose(last[:, :1].expand_as(last), last, atol=1e-5)
    assert torch.equal(passes.plain(CASE.images), output_of(tiny(), CASE.images))


def test_the_first_tensor_of_an_output_is_found() -> None:
    x = images(tiny())
    assert first_tensor({"logits": [(x, 1)], "other": 2}) is x
    assert torch.equal(output_of(nn.Identity(), x, lambda model, given: (given + 1, given)), x + 1)
