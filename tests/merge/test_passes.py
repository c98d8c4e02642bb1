"""What a forward pass carries from block to block."""

import pytest
import torch

from timm_mergemix import MergeMixError
from timm_mergemix.merge.passes import Here, Opened, Pass, Tokens
from timm_mergemix.merge.record import Recording
from timm_mergemix.merge.schedule import parse
from timm_mergemix.merge.settings import Layout, Settings

from .reference import randn

LAYOUT = Layout(1, has_class_token=True)
SIZE = torch.tensor([[1.0, 2.0, 1.0, 1.0]])
SOURCE = torch.tensor([[0, 1, 2, 3, 1]])


def new_pass(r=1, depth=3, layout=LAYOUT, watcher=None, **flags):
    return Pass(Settings(parse(r, depth)), layout, watcher, depth, **flags)


def after_one_merge(tokens):
    return tokens._replace(length=4, size=SIZE, source=SOURCE)


def test_the_first_block_starts_a_pass():
    current, x = new_pass(), randn(1, 5, 2)
    got, tokens = current.enter(0, x)
    assert got is x
    assert tokens[:-1] == Tokens(merges=(1, 1, 1), length=5)[:-1]
    assert tokens.numbers.tolist() == [0, 1, 2, 3, 4]
    assert current.tokens is None


def test_numbers_are_counted_once_in_a_pass_that_merges():
    current, x = new_pass(), randn(1, 5, 2)
    _, tokens = current.enter(0, x)
    current.leave(0, randn(1, 4, 2), tokens.after(0, 4, SIZE, SOURCE))
    assert current.tokens.numbers is tokens.numbers
    _, unmerged = new_pass(r=0).enter(0, x)
    assert unmerged.numbers is None


def test_unmerged_tokens_have_size_1_and_their_own_place():
    size, source = Tokens((1,), 5).entries(randn(2, 5, 3).bfloat16())
    assert torch.equal(size, torch.ones(2, 5))
    assert size.dtype == torch.float32
    assert torch.equal(source, torch.arange(5).expand(2, -1))


def test_a_block_takes_what_the_one_before_it_left():
    current = new_pass()
    _, tokens = current.enter(0, randn(1, 5, 2))
    merged = randn(1, 4, 2)
    assert current.leave(0, merged, after_one_merge(tokens)) is merged
    got, tokens = current.enter(1, merged)
    assert got is merged
    assert tokens.size is SIZE
    assert tokens.block == 1


def test_the_last_block_recovers_and_drops_everything():
    current, merged = new_pass(depth=1), randn(1, 4, 2)
    _, tokens = current.enter(0, randn(1, 5, 2))
    out = current.leave(0, merged, after_one_merge(tokens))
    assert torch.equal(out, merged[:, [0, 1, 2, 3, 1]])
    assert (current.tokens, current.handover) == (None, None)
    assert current.ended


def test_recovery_can_be_left_out():
    current, merged = new_pass(depth=1, recovering=False), randn(1, 4, 2)
    _, tokens = current.enter(0, randn(1, 5, 2))
    assert current.leave(0, merged, after_one_merge(tokens)) is merged


def test_exposing_recovers_every_block_and_hands_on_the_merged_tokens():
    current, merged = new_pass(exposing=True), randn(1, 4, 2)
    _, tokens = current.enter(0, randn(1, 5, 2))
    out = current.leave(0, merged, after_one_merge(tokens))
    assert out.shape[1] == 5
    got, _ = current.enter(1, out)
    assert got is merged
    assert current.aside is None


@pytest.mark.parametrize(("index", "length"), [(2, 4), (1, 5), (1, 3)])
def test_a_block_out_of_order_is_refused(index, length):
    current = new_pass()
    _, tokens = current.enter(0, randn(1, 5, 2))
    current.leave(0, randn(1, 4, 2), after_one_merge(tokens))
    with pytest.raises(MergeMixError, match=rf"^block {index}: got "):
        current.enter(index, randn(1, length, 2))


def test_other_tokens_than_the_block_before_has_returned_are_refused():
    current, merged = new_pass(), randn(4, 4, 2)
    _, tokens = current.enter(0, randn(4, 5, 2))
    current.leave(0, merged, after_one_merge(tokens))
    with pytest.raises(MergeMixError, match="block 1: got other tokens, wanted the tokens that block 0 returned"):
        current.enter(1, merged.flip(0))


def test_tokens_may_change_in_their_place_where_that_is_allowed():
    for exposing in (False, True):
        current, merged = new_pass(lenient=True, exposing=exposing), randn(4, 4, 2)
        _, tokens = current.enter(0, randn(4, 5, 2))
        out = current.leave(0, merged, tokens._replace(length=4, size=SIZE.expand(4, -1), source=SOURCE.expand(4, -1)))
        if exposing:  # what happened to the tokens did not happen to those that are handed on aside
            with pytest.raises(MergeMixError, match="block 1: got other tokens"):
                current.enter(1, out + 1)
        else:
            assert torch.equal(current.enter(1, out + 1)[0], merged + 1)


def test_a_later_block_alone_is_refused():
    with pytest.raises(MergeMixError, match="in order, from the first one"):
        new_pass().enter(1, randn(1, 5, 2))


def test_order_does_not_matter_where_nothing_merges():
    current, x = new_pass(r=0), randn(1, 5, 2)
    for index in (1, 2, 0, 2, 0, 0):
        got, tokens = current.enter(index, x)
        assert got is x
        assert current.leave(index, x, tokens) is x


def test_a_schedule_that_cannot_be_met_is_refused_at_the_first_block():
    with pytest.raises(MergeMixError, match="at most 2"):
        new_pass(r=[3, 0, 0]).enter(0, randn(1, 5, 2))


def test_protected_tokens_at_both_ends_are_no_patches():
    _, tokens = new_pass(r=("keep", 0.5), depth=1, layout=Layout(2, 3)).enter(0, randn(1, 13, 2))
    assert tokens.merges == (4,)
    with pytest.raises(MergeMixError, match="suffix_tokens: got 5, wanted at most 4, the tokens that enter block 0"):
        new_pass(layout=Layout(2, 3)).enter(0, randn(1, 4, 2))


def test_more_patches_than_an_image_has_are_refused_with_the_arguments_that_help():
    layout = Layout(1, most_patches=4)
    with pytest.raises(MergeMixError, match="prefix_tokens, suffix_tokens: got 1 and 0, which leave 6 patches"):
        new_pass(layout=layout).enter(0, randn(1, 7, 2))
    new_pass(layout=layout).enter(0, randn(1, 4, 2))  # patches may have been dropped
    new_pass(r=0, layout=layout).enter(0, randn(1, 7, 2))


def test_a_pass_is_over_once_it_has_ended_or_another_one_begins():
    current, x = new_pass(depth=2), randn(1, 5, 2)
    assert (current.is_over(0), current.is_over(1)) == (True, False)
    assert not new_pass(opened=True).is_over(0)
    _, tokens = current.enter(0, x)
    current.leave(0, x, tokens)
    assert (current.is_over(0), current.is_over(1)) == (True, False)
    current.enter(1, x)
    current.leave(1, x, current.tokens)
    assert current.is_over(0)
    assert current.is_over(1)


def test_a_pass_that_was_opened_is_there_until_it_is_closed():
    here, outer, inner = Here(), new_pass(opened=True), new_pass(opened=True)
    with Opened(here, outer):
        with pytest.raises(KeyError), Opened(here, inner) as current:
            assert here.current is current is inner
            raise KeyError
        assert here.current is outer
    assert here.current is None


def test_the_watcher_is_told_sizes_and_sources():
    recording = Recording()
    current, x = new_pass(watcher=recording.watch()), randn(2, 5, 2)
    _, tokens = current.enter(0, x)
    current.leave(0, x, tokens)
    assert torch.equal(recording.layers[0].size, torch.ones(2, 5))
    assert torch.equal(recording.layers[0].source, torch.arange(5).expand(2, -1))
