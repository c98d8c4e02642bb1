"""What a forward pass carries from block to block."""

import copy
import pickle

import pytest
import torch

from timm_mergemix import MergeMixError
from timm_mergemix.merge.passes import Merging, Settings, Tokens
from timm_mergemix.merge.record import Recording
from timm_mergemix.merge.schedule import parse

from .reference import randn

SIZE = torch.tensor([[1.0, 2.0, 1.0, 1.0]])
SOURCE = torch.tensor([[0, 1, 2, 3, 1]])


def merging(r=1, depth=3, prefix=1):
    return Merging(Settings(parse(r, depth)), depth, prefix, has_class_token=prefix > 0)


def after_one_merge(tokens):
    return tokens._replace(length=4, size=SIZE, source=SOURCE)


def test_the_first_block_starts_a_pass():
    state, x = merging(), randn(1, 5, 2)
    got, tokens = state.enter(0, x)
    assert got is x
    assert tokens == Tokens(merges=(1, 1, 1), length=5)
    assert state.tokens is None


def test_unmerged_tokens_have_size_1_and_their_own_place():
    size, source = Tokens((1,), 5).entries(randn(2, 5, 3).bfloat16())
    assert torch.equal(size, torch.ones(2, 5))
    assert size.dtype == torch.float32
    assert torch.equal(source, torch.arange(5).expand(2, -1))


def test_a_block_takes_what_the_one_before_it_left():
    state = merging()
    _, tokens = state.enter(0, randn(1, 5, 2))
    merged = randn(1, 4, 2)
    assert state.leave(0, merged, after_one_merge(tokens)) is merged
    got, tokens = state.enter(1, merged)
    assert got is merged
    assert tokens.size is SIZE
    assert tokens.block == 1


def test_the_last_block_recovers_and_drops_everything():
    state, merged = merging(depth=1), randn(1, 4, 2)
    _, tokens = state.enter(0, randn(1, 5, 2))
    out = state.leave(0, merged, after_one_merge(tokens))
    assert torch.equal(out, merged[:, [0, 1, 2, 3, 1]])
    assert state.tokens is None


def test_recovery_can_be_left_out():
    state, merged = merging(depth=1), randn(1, 4, 2)
    with state.during(recovering=False):
        _, tokens = state.enter(0, randn(1, 5, 2))
        assert state.leave(0, merged, after_one_merge(tokens)) is merged


def test_exposing_recovers_every_block_and_hands_on_the_merged_tokens():
    state, merged = merging(), randn(1, 4, 2)
    with state.during(exposing=True):
        _, tokens = state.enter(0, randn(1, 5, 2))
        out = state.leave(0, merged, after_one_merge(tokens))
        assert out.shape[1] == 5
        got, _ = state.enter(1, out)
        assert got is merged
        assert state.aside is None


def test_a_new_pass_forgets_what_an_aborted_one_held():
    state = merging()
    with state.during(exposing=True):
        _, tokens = state.enter(0, randn(1, 5, 2))
        state.leave(0, randn(1, 4, 2), after_one_merge(tokens))
        x = randn(1, 7, 2, seed=1)
        got, tokens = state.enter(0, x)
        assert got is x
        assert tokens.length == 7
        assert state.leave(0, x, tokens) is x
        again, _ = state.enter(1, x)
        assert again is x


@pytest.mark.parametrize(("index", "length"), [(2, 4), (1, 5), (1, 3)])
def test_a_block_out_of_order_is_refused(index, length):
    state = merging()
    _, tokens = state.enter(0, randn(1, 5, 2))
    state.leave(0, randn(1, 4, 2), after_one_merge(tokens))
    with pytest.raises(
        MergeMixError, match=f"block {index}: got {length} tokens, wanted block 1 with 4 tokens; the blocks"
    ):
        state.enter(index, randn(1, length, 2))


def test_a_later_block_alone_is_refused():
    with pytest.raises(MergeMixError, match="in order, from the first one"):
        merging().enter(1, randn(1, 5, 2))


def test_order_does_not_matter_where_nothing_merges():
    state, x = merging(r=0), randn(1, 5, 2)
    for index in (1, 2, 0, 2, 0, 0):
        got, tokens = state.enter(index, x)
        assert got is x
        assert state.leave(index, x, tokens) is x


def test_a_schedule_that_cannot_be_met_is_refused_at_the_first_block():
    with pytest.raises(MergeMixError, match="at most 2"):
        merging(r=[3, 0, 0]).enter(0, randn(1, 5, 2))


def test_during_sets_and_restores_settings():
    state, config = merging(), Settings(parse(0, 3), prop_attn=False)
    before = state.settings
    observer = Recording()
    with state.during(settings=config, observer=observer, exposing=True):
        assert (state.settings, state.observer, state.exposing) == (config, observer, True)
        with state.during(exposing=False):
            assert not state.exposing
        assert state.exposing
    assert (state.settings, state.observer, state.exposing) == (before, None, False)


def test_during_restores_after_an_error_and_drops_tensors():
    state = merging()

    def fail():
        with state.during(exposing=True):
            _, tokens = state.enter(0, randn(1, 5, 2))
            state.leave(0, randn(1, 4, 2), after_one_merge(tokens))
            assert state.tokens is not None
            assert state.aside is not None
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert (state.tokens, state.aside, state.exposing) == (None, None, False)


def test_the_observer_is_told_sizes_and_sources():
    state, recording = merging(), Recording()
    with state.during(observer=recording):
        x = randn(2, 5, 2)
        _, tokens = state.enter(0, x)
        state.leave(0, x, tokens)
    assert torch.equal(recording.layers[0].size, torch.ones(2, 5))
    assert torch.equal(recording.layers[0].source, torch.arange(5).expand(2, -1))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda state: pickle.loads(pickle.dumps(state))])
def test_copies_carry_settings_and_no_tensors(duplicate):
    state = merging(r=[2, 1, 0])
    state.checkpointing = True
    with state.during(exposing=True, recovering=False, observer=Recording()):
        _, tokens = state.enter(0, randn(1, 5, 2))
        # A tensor with a history, which deepcopy would refuse.
        state.leave(0, randn(1, 4, 2).requires_grad_() * 2, after_one_merge(tokens))
        other = duplicate(state)
        assert state.tokens is not None
    assert (other.settings, other.depth, other.prefix_tokens) == (state.settings, 3, 1)
    assert other.checkpointing
    assert (other.tokens, other.aside, other.observer) == (None, None, None)
    assert (other.exposing, other.recovering) == (False, True)


def test_it_has_no_state_dict_and_shows_its_settings():
    state = merging(r=("total", 2))
    assert not state.state_dict()
    assert repr(state) == "Merging(r=('total', 2), prop_attn=True, matching='bipartite')"
