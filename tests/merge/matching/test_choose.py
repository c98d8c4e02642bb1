"""What holds for every matching, each found by its name."""

import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from timm_mergemix import MergeMixError
from timm_mergemix.merge.matching.baselines import kth_matching, random_matching
from timm_mergemix.merge.matching.bipartite import bipartite_matching
from timm_mergemix.merge.matching.choose import MATCHINGS, match
from timm_mergemix.merge.matching.pitome import pitome_matching

from ..reference import no_near_ties, randn, source_of
from .plans import SETTINGS, cases, flags, merges_of, padded_cases
from .slow_matching import NearTieError, slow_bipartite, slow_kth

# torch 2.6 cannot tell a compilation from an export, which has no stable sort. PiToMe's padding, of equal energy, then
# pairs up in another order.
SORTS_STABLY = hasattr(torch.compiler, "is_exporting")


@pytest.mark.parametrize("matching", MATCHINGS)
@SETTINGS
@given(case=padded_cases())
def test_the_plan_is_a_partition(matching, case):
    keys, r, prefix, padding = case
    batch, length, _ = keys.shape
    plan = match(matching, keys, r, prefix, padding)
    assert plan.keep.shape == (batch, length - r)
    assert plan.source.shape == plan.target.shape == (batch, r)
    assert all(part.dtype == torch.int64 for part in plan)
    for b in range(batch):
        assert sorted([*plan.keep[b].tolist(), *plan.source[b].tolist()]) == list(range(length))


@pytest.mark.parametrize("matching", MATCHINGS)
@SETTINGS
@given(case=padded_cases())
def test_prefix_tokens_stay_first_and_never_merge(matching, case):
    keys, r, prefix, padding = case
    plan = match(matching, keys, r, prefix, padding)
    assert (plan.keep[:, :prefix] == torch.arange(prefix)).all()
    assert (plan.source >= prefix).all()
    assert (plan.target >= prefix).all()
    assert (plan.target < plan.keep.shape[1]).all()


@pytest.mark.parametrize("matching", ["random", "kth", "pitome"])
@SETTINGS
@given(case=padded_cases())
def test_kept_tokens_stay_in_order(matching, case):
    keep = match(matching, *case).keep
    assert (keep.diff(dim=1) > 0).all()


@pytest.mark.parametrize("matching", MATCHINGS)
@SETTINGS
@given(case=padded_cases())
def test_padding_merges_first_and_with_padding(matching, case):
    keys, r, prefix, padding = case
    assume(padding is not None)
    plan = match(matching, keys, r, prefix, padding)
    for b in range(keys.shape[0]):
        pad = padding[b].tolist()
        free = range(prefix, keys.shape[1])
        merges = merges_of(plan, b)
        # What there is of padding to merge with padding.
        if matching == "bipartite":
            sources, targets = [i for i in free if i % 2 == 0], [i for i in free if i % 2]
        elif matching == "kth":
            sources, targets = [i for i in free if (i - prefix) % 3], [i for i in free if (i - prefix) % 3 == 0]
        elif matching == "random":
            sources, targets = [i for i in free if pad[i]][1:], [i for i in free if pad[i]][:1]
        else:
            sources, targets = [i for i in free if pad[i]][::2], [i for i in free if pad[i]][1::2]
        most = sum(pad[i] for i in sources) if any(pad[i] for i in targets) else 0
        both = sum(pad[a] and pad[t] for a, t in merges.items())
        assert both == min(r, most)
        if r <= most:
            assert not any(pad[a] != pad[t] for a, t in merges.items())


@pytest.mark.parametrize("matching", ["bipartite", "kth"])
@SETTINGS
@given(case=padded_cases())
def test_padding_meets_patches_last(matching, case):
    keys, r, prefix, padding = case
    assume(padding is not None)
    plan = match(matching, keys, r, prefix, padding)
    for b in range(keys.shape[0]):
        pad, merges = padding[b].tolist(), merges_of(plan, b)
        if any(pad[a] != pad[t] for a, t in merges.items()):
            free = range(prefix, keys.shape[1])
            step, first = (2, 1) if matching == "bipartite" else (3, prefix)
            targets = {i for i in free if i % step == first % step}
            left = {i for i in free if i not in targets and i not in merges}
            assert not any(pad[a] == pad[t] for a in left for t in targets)


@pytest.mark.parametrize("matching", MATCHINGS)
@SETTINGS
@given(case=padded_cases(low_dim=2))
def test_padding_of_no_token_is_the_same_as_no_padding(matching, case):
    keys, r, prefix, _ = case
    torch.manual_seed(0)
    plain = match(matching, keys, r, prefix)
    torch.manual_seed(0)
    none = match(matching, keys, r, prefix, torch.zeros(keys.shape[:2], dtype=torch.bool))
    assert all(torch.equal(one, other) for one, other in zip(plain, none, strict=True))


@pytest.mark.parametrize(("matching", "slow"), [(bipartite_matching, slow_bipartite), (kth_matching, slow_kth)])
@SETTINGS
@given(case=padded_cases(low_dim=2, max_patches=14))
def test_merges_equal_the_slow_reference(matching, slow, case):
    keys, r, prefix, padding = case
    plan = matching(*case)
    for b, sample in enumerate(keys.double().tolist()):
        try:
            wanted = slow(sample, flags(padding, b, len(sample)), r, prefix)
        except NearTieError:
            assume(False)
        assert merges_of(plan, b) == wanted


@pytest.mark.parametrize("matching", ["bipartite", "kth", "pitome"])
def test_only_random_matching_draws(matching):
    state = torch.get_rng_state()
    match(matching, randn(2, 20, 4), 5)
    assert torch.equal(torch.get_rng_state(), state)


def test_match_is_the_matching_of_that_name():
    keys, padding = randn(3, 40, 6), torch.arange(40).expand(3, -1) >= 35
    functions = {"bipartite": bipartite_matching, "random": random_matching, "kth": kth_matching}
    assert set(MATCHINGS) == {*functions, "pitome"}
    for name, function in functions.items():
        torch.manual_seed(0)
        got = match(name, keys, 10, 2, padding, progress=0.5)
        torch.manual_seed(0)
        wanted = function(keys, 10, 2, padding)
        assert all(torch.equal(one, other) for one, other in zip(got, wanted, strict=True)), name
    plans = [match(name, keys, 10, 2).keep for name in MATCHINGS]
    assert not any(torch.equal(a, b) for i, a in enumerate(plans) for b in plans[:i])


@pytest.mark.parametrize("matching", MATCHINGS)
@pytest.mark.parametrize("dynamic", [None, True])
def test_every_matching_compiles_to_one_graph(matching, dynamic):
    torch._dynamo.reset()
    compiled = torch.compile(match, fullgraph=True, backend="eager", dynamic=dynamic)
    for length, r, progress in [(19, 5, 0.0), (24, 7, 0.25)]:
        keys = randn(2, length, 4)
        for padding in (None, torch.arange(length).expand(2, -1) >= length - 4):
            torch.manual_seed(0)
            wanted = match(matching, keys, r, 1, padding, progress)
            torch.manual_seed(0)
            got = compiled(matching, keys, r, 1, padding, progress)
            if matching == "pitome" and padding is not None and not SORTS_STABLY:
                assert merges_of_patches(got, padding) == merges_of_patches(wanted, padding)
            else:
                assert all(torch.equal(one, other) for one, other in zip(got, wanted, strict=True))


def merges_of_patches(plan, padding):
    """What merges with what, for each sample, without the padding."""
    return [{a: t for a, t in merges_of(plan, b).items() if not pad[a]} for b, pad in enumerate(padding.tolist())]


@pytest.mark.parametrize("matching", [bipartite_matching, kth_matching, pitome_matching])
@SETTINGS
@given(case=cases(), seed=st.integers(0, 2**31))
def test_other_samples_have_no_influence(matching, case, seed):
    keys, r, prefix = case
    assume(all(no_near_ties(sample, prefix) for sample in keys))
    others = randn(*keys.shape, seed=seed)
    others[0] = keys[0]
    for one, other in zip(matching(keys, r, prefix), matching(others, r, prefix), strict=True):
        assert torch.equal(one[0], other[0])


@pytest.mark.parametrize("matching", MATCHINGS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtypes_are_compared_in_float32(matching, dtype):
    keys = randn(2, 65, 8).to(dtype)
    torch.manual_seed(0)
    low = match(matching, keys, 20, 1)
    torch.manual_seed(0)
    full = match(matching, keys.float(), 20, 1)
    assert all(torch.equal(one, other) for one, other in zip(low, full, strict=True))


@pytest.mark.parametrize("matching", MATCHINGS)
def test_autocast_does_not_coarsen_the_comparison(matching):
    keys = randn(2, 65, 8)
    torch.manual_seed(0)
    plain = match(matching, keys, 20, 1)
    torch.manual_seed(0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = match(matching, keys, 20, 1)
    assert all(torch.equal(one, other) for one, other in zip(plain, cast, strict=True))


@pytest.mark.parametrize("matching", MATCHINGS)
@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0])
@pytest.mark.parametrize("where", ["one", "all"])
def test_degenerate_keys_give_a_valid_plan(matching, value, where):
    keys = randn(2, 12, 4)
    keys[0, 5 if where == "one" else slice(None)] = value
    plan = match(matching, keys, 4, 1)
    for b in range(2):
        assert sorted([*plan.keep[b].tolist(), *plan.source[b].tolist()]) == list(range(12))
        assert set(source_of(plan, b)) == set(range(8))
    assert (plan.target >= 1).all()


@pytest.mark.parametrize("matching", MATCHINGS)
def test_the_plan_has_no_gradient_and_leaves_the_keys(matching):
    keys = randn(2, 9, 4).requires_grad_()
    before = keys.detach().clone()
    plan = match(matching, keys, 3, 1)
    assert not any(part.requires_grad for part in plan)
    assert torch.equal(keys, before)


@pytest.mark.parametrize("matching", MATCHINGS)
@pytest.mark.parametrize(("length", "prefix", "r"), [(16, 0, 9), (17, 1, 9), (5, 5, 1), (1, 0, 1), (3, 5, 1)])
def test_more_than_half_is_refused(matching, length, prefix, r):
    most = max(length - prefix, 0) // 2
    with pytest.raises(MergeMixError, match=f"r: got {r}, wanted at most {most}"):
        match(matching, randn(1, length, 4), r, prefix)


@pytest.mark.parametrize("matching", MATCHINGS)
@pytest.mark.parametrize(("batch", "length", "prefix"), [(2, 5, 5), (2, 6, 5), (2, 3, 5), (0, 6, 1), (0, 1, 1)])
def test_nothing_to_merge_keeps_all(matching, batch, length, prefix):
    for padding in (None, torch.ones(batch, length, dtype=torch.bool)):
        plan = match(matching, randn(batch, length, 4), 0, prefix, padding)
        assert plan.source.shape == plan.target.shape == (batch, 0)
        assert [row.sort().values.tolist() for row in plan.keep] == [list(range(length))] * batch


@pytest.mark.parametrize("matching", MATCHINGS)
@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((randn(2, 4, 4), 1, 0, torch.ones(2, 4)), "padding"),
        ((randn(2, 4, 4), 1, 0, torch.ones(2, 3, dtype=torch.bool)), "padding"),
        ((randn(2, 4, 4), 1, 0, torch.ones(1, 4, dtype=torch.bool)), "padding"),
        ((randn(2, 4, 4), 1, 0, [[True] * 4] * 2), "padding"),
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
def test_bad_input_is_refused(matching, arguments, name):
    with pytest.raises(MergeMixError, match=f"^{name}: got "):
        match(matching, *arguments)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: match("tome", randn(1, 4, 4), 1), "matching: got 'tome', wanted one of 'bipartite', 'random', 'kth'"),
        (lambda: match(None, randn(1, 4, 4), 1), "matching: got None"),
        (lambda: match("pitome", randn(1, 4, 4), 1, progress=1.5), "progress: got 1.5"),
        (lambda: match("bipartite", randn(1, 4, 4), 1, progress=-0.1), "progress: got -0.1"),
        (lambda: kth_matching(randn(1, 4, 4), 1, k=1), "k: got 1"),
        (lambda: kth_matching(randn(1, 4, 4), 0, k=2.0), "k: got 2.0"),
        (lambda: random_matching(randn(1, 4, 4), 1, generator=3), "generator: got 3"),
        (lambda: pitome_matching(randn(1, 4, 4), 1, margin=1.5), "margin: got 1.5"),
        (lambda: pitome_matching(randn(1, 4, 4), 0, margin=math.nan), "margin: got nan"),
    ],
)
def test_bad_settings_are_refused(call, message):
    with pytest.raises(MergeMixError, match=f"^{message}"):
        call()
