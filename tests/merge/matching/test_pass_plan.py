"""The plan of a pass says the same as the one that users get."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from timm_mergemix.merge.matching import pass_plan
from timm_mergemix.merge.matching.choose import MATCHINGS, match, plan_merges
from timm_mergemix.merge.matching.pass_plan import (
    PassPlan,
    count_up,
    keep_trailing,
    merge_nothing,
    plan_in_order,
    shared_numbers,
)
from timm_mergemix.merge.matching.plan import MergePlan

from ..reference import randn
from .plans import SETTINGS, merges_of


@st.composite
def drawn_plans(draw):
    """The number of prefix tokens, which of the others stay, which merge, and into which."""
    length, prefix = draw(st.integers(1, 12)), draw(st.integers(0, 3))
    order = [prefix + i for i in draw(st.permutations(range(length)))]
    r = draw(st.integers(0, length // 2))
    stay = sorted(order[r:])
    return prefix, stay, order[:r], [draw(st.sampled_from(stay)) for _ in range(r)]


def int64(*rows):
    return torch.tensor(rows, dtype=torch.int64)


@SETTINGS
@given(drawn_plans(), st.booleans())
def test_a_plan_in_order_keeps_the_rest_in_its_old_order(drawn, shared):
    prefix, stay, source, partner = drawn
    numbers = torch.arange(20) if shared else None
    plan = plan_in_order(prefix, int64(stay), int64(source), int64(partner), numbers).public()
    assert plan.keep.tolist() == [[*range(prefix), *stay]]
    assert merges_of(plan, 0) == dict(zip(source, partner, strict=True))


@SETTINGS
@given(drawn_plans())
def test_an_exported_plan_in_order_is_the_same(drawn):
    prefix, stay, source, partner = drawn
    given_rows = (int64(stay, stay), int64(source, source), int64(partner, partner))
    wanted = plan_in_order(prefix, *given_rows)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pass_plan, "is_exporting", lambda: True)
        exported = plan_in_order(prefix, *given_rows)
    assert torch.equal(exported.order, wanted.order) and torch.equal(exported.partner, wanted.partner)


@pytest.mark.parametrize("matching", MATCHINGS)
@pytest.mark.parametrize("prefix", [0, 1, 2])
def test_shared_numbers_change_no_plan(matching, prefix):
    keys = randn(3, 15, 4)
    torch.manual_seed(0)
    wanted = match(matching, keys, 5, prefix)
    torch.manual_seed(0)
    plan = plan_merges(matching, keys, 5, prefix, None, 0.0, None, shared_numbers(keys))
    for part, other in zip(plan.public(), wanted, strict=True):
        assert torch.equal(part, other) and part.dtype == torch.int64
    assert plan.kept() == 10 and torch.equal(plan.order, torch.cat([wanted.keep, wanted.source], dim=1))


def test_the_plan_of_a_user_is_the_same_again():
    plan = match("bipartite", randn(2, 9, 4), 3, 1)
    for part, other in zip(PassPlan.of(plan).public(), plan, strict=True):
        assert torch.equal(part, other)


@pytest.mark.parametrize(("batch", "length"), [(2, 5), (0, 3), (1, 0)])
def test_where_nothing_merges_all_tokens_stay(batch, length):
    plan = merge_nothing(randn(batch, length, 4)).public()
    assert plan.keep.tolist() == [list(range(length))] * batch
    assert plan.source.shape == plan.target.shape == (batch, 0)
    assert all(part.dtype == torch.int64 for part in plan)


@pytest.mark.parametrize("numbers", [None, torch.arange(9)])
def test_tokens_at_the_end_stay(numbers):
    plan = PassPlan.of(MergePlan(int64([0, 1]), int64([2, 3, 4]), int64([0, 1, 1])))
    longer = keep_trailing(PassPlan(plan.order, plan.partner, 0, numbers), 2).public()
    assert longer.keep.tolist() == [[0, 1, 5, 6]]
    assert longer.source.tolist() == [[2, 3, 4]] and longer.target.tolist() == [[0, 1, 1]]


@pytest.mark.parametrize("shape", [(2, 9, 4), (9, 2, 4)])
def test_numbers_suffice_for_rows_and_tokens(shape):
    x = randn(*shape)
    numbers = shared_numbers(x)
    assert numbers.tolist() == list(range(9))
    assert torch.equal(count_up(4, x, numbers), count_up(4, x, None))


def test_a_transform_of_functions_shares_no_numbers():
    found = []
    torch.func.vmap(lambda x: found.append(shared_numbers(x)) or x)(randn(2, 3, 4, 1))
    assert found == [None]
