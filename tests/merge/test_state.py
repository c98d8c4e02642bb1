"""What the blocks of a patched model share, and which pass a block runs in."""

import copy
import pickle
import threading

import pytest

from timm_mergemix.merge.record import Recording
from timm_mergemix.merge.schedule import parse
from timm_mergemix.merge.settings import Layout, Settings
from timm_mergemix.merge.state import Merging

from .reference import randn


def merging(r=1, depth=3):
    return Merging(Settings(parse(r, depth)), depth, Layout(1, has_class_token=True))


def test_a_pass_is_that_of_its_thread_until_it_has_ended():
    state, others = merging(), []
    current = state.pass_for(0)
    assert state.pass_for(1) is current
    thread = threading.Thread(target=lambda: others.append(state.pass_for(1)))
    thread.start()
    thread.join()
    assert others[0] is not current
    current.ended = True
    assert state.pass_for(0) is not current


def test_the_first_block_begins_a_new_pass_where_one_was_left_before_its_end():
    state, x = merging(), randn(1, 5, 2)
    current = state.pass_for(0)
    _, tokens = current.enter(0, x)
    current.leave(0, x, tokens)
    assert state.pass_for(1) is current
    assert state.pass_for(0) is not current


def test_the_innermost_context_decides_and_a_pass_keeps_what_was_in_force():
    state, one, other = merging(), Settings(parse(2, 3)), Settings(parse(4, 3))
    with state.scope(one):
        current = state.begin()
        with state.scope(other), state.scope(observer=Recording()):
            assert state.settings_here is other
        assert state.settings_here is one
    assert state.settings_here is state.settings
    assert current.settings is one


def test_patching_anew_ends_what_contexts_have_set():
    state, now = merging(), Settings(parse(5, 3))
    with state.scope(Settings(parse(0, 3))):
        state.patch_anew(now)
        assert state.settings_here is now
    assert state.settings_here is now


def test_observers_watch_the_passes_inside():
    state, recording = merging(), Recording()
    with state.scope(observer=recording):
        assert state.begin().watcher is not None
    assert state.begin().watcher is None
    state.observer = recording
    assert state.begin().watcher is not None


def test_scopes_of_another_thread_can_be_inherited():
    state, settings = merging(), Settings(parse(0, 3))
    with state.scope(settings) as scope:
        assert state.begin((scope,)).settings is settings


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda state: pickle.loads(pickle.dumps(state))])
def test_copies_carry_settings_and_no_pass(duplicate):
    state = merging(r=[2, 1, 0])
    state.checkpointing, state.contexts, state.temporary = True, 1, True
    # A tensor with a history, which deepcopy would refuse.
    current, x = state.pass_for(0), randn(1, 5, 2).requires_grad_() * 2
    _, tokens = current.enter(0, x)
    current.leave(0, x, tokens)
    with state.scope(observer=Recording()):
        other = duplicate(state)
    assert (other.settings, other.depth, other.layout) == (state.settings, 3, state.layout)
    assert other.checkpointing
    assert other.here.current is None
    assert (other.contexts, other.temporary, other.observer, other.generator) == (0, False, None, None)
    assert state.here.current is current


def test_it_shows_its_settings():
    assert repr(merging(r=("total", 2))) == "Merging(r=('total', 2), prop_attn=True, matching='bipartite')"
