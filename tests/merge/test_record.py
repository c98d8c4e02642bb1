"""What is read from a forward pass."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from timm_mergemix.merge.matching.tokens import recover
from timm_mergemix.merge.record import (
    AttentionReader,
    AttentionRow,
    Recording,
    StopForward,
    mean_attention,
    softmax_attention,
)

from .reference import randn

SIZE = torch.tensor([[1.0, 3.0, 1.0]])
SOURCE = torch.tensor([[0, 1, 2, 1, 1]])
VALUES = torch.tensor([[0.2, 0.6, 0.2]])


def attention_row(query, key, scale, bias, weights):
    return mean_attention(softmax_attention(query, key, scale, bias), weights)


def test_attention_is_divided_among_the_members_of_a_token():
    row = AttentionRow(VALUES, SIZE, SOURCE, prefix_tokens=1)
    torch.testing.assert_close(row.on_patches(), torch.tensor([[0.2, 0.2, 0.2, 0.2]]))
    assert row.on_patches().sum() + VALUES[0, 0] == pytest.approx(1.0)


def test_attention_is_copied_as_published_code_does():
    row = AttentionRow(VALUES, SIZE, SOURCE, prefix_tokens=1)
    torch.testing.assert_close(row.on_patches(divide=False), torch.tensor([[0.6, 0.2, 0.6, 0.6]]))


def test_attention_of_unmerged_tokens_is_itself():
    row = AttentionRow(VALUES, None, None, prefix_tokens=1)
    assert torch.equal(row.on_patches(), VALUES[:, 1:])


@settings(max_examples=30, deadline=None)
@given(
    tokens=st.integers(1, 6),
    queries=st.integers(1, 4),
    seed=st.integers(0, 2**31),
    data=st.data(),
)
def test_a_row_over_merged_tokens_is_the_row_over_repeated_ones(tokens, queries, seed, data):
    count = torch.tensor([data.draw(st.integers(1, 4)) for _ in range(tokens)])
    source = torch.arange(tokens).repeat_interleave(count)
    weights = torch.tensor([data.draw(st.integers(1, 4)) for _ in range(queries)])
    query, key = randn(2, 3, queries, 8, seed=seed), randn(2, 3, tokens, 8, seed=seed + 1)
    bias = count.float().log().view(1, 1, 1, -1)
    row = attention_row(query, key, 0.4, bias, weights.float().expand(2, -1))
    asked = query.repeat_interleave(weights, dim=2)
    attention = ((asked * 0.4) @ key[:, :, source].mT).softmax(-1).mean(dim=(1, 2))
    got = AttentionRow(row, count.float().expand(2, -1), source.expand(2, -1), 0).on_patches()
    torch.testing.assert_close(got, attention, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(row.sum(1), torch.ones(2))


def test_a_row_without_bias_and_weights_is_plain_attention():
    query, key = randn(2, 3, 4, 8), randn(2, 3, 7, 8, seed=1)
    wanted = (query @ key.mT * 0.3).softmax(-1).mean(dim=(1, 2))
    torch.testing.assert_close(attention_row(query, key, 0.3, None, None), wanted)


def test_a_row_is_float32_without_gradient_under_autocast_too():
    query, key = randn(1, 2, 1, 8).requires_grad_(), randn(1, 2, 5, 8, seed=1).requires_grad_()
    wanted = attention_row(query, key, 0.3, None, None)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        row = attention_row(query, key, 0.3, None, None)
    assert torch.equal(row, wanted)
    half = attention_row(query.bfloat16(), key.bfloat16(), 0.3, None, None)
    assert row.dtype == half.dtype == torch.float32
    assert not row.requires_grad


def test_recording_keeps_one_list_a_forward():
    recording = Recording()
    assert recording.layers == []
    for start in (1.0, 2.0):
        watcher = recording.watch()
        for index in range(3):
            if index != 1:
                watcher.on_attention(index, AttentionRow(VALUES * start, SIZE, SOURCE, 1))
            watcher.on_block(index, SIZE * start, SOURCE)
    assert [len(layers) for layers in recording.forwards] == [3, 3]
    assert recording.layers is recording.forwards[-1]
    assert [layer.attention is None for layer in recording.layers] == [False, True, False]
    assert torch.equal(recording.layers[0].size, SIZE * 2)
    torch.testing.assert_close(recording.layers[0].attention, torch.full((1, 4), 0.4))


def test_recording_is_detached():
    recording = Recording()
    recording.watch().on_block(0, SIZE.clone().requires_grad_(), SOURCE)
    assert not recording.layers[0].size.requires_grad
    assert torch.equal(recover(recording.layers[0].size, recording.layers[0].source), torch.tensor([[1.0, 3, 1, 3, 3]]))


def test_recording_asks_for_attention_if_told_so():
    assert Recording().watch().wants_attention(0)
    assert not Recording(attention=False).watch().wants_attention(0)


def test_passes_inside_each_other_are_recorded_apart():
    recording = Recording(attention=False)
    outer, inner = recording.watch(), recording.watch()
    outer.on_block(0, SIZE, SOURCE)
    inner.on_block(0, SIZE * 2, SOURCE)
    outer.on_block(1, SIZE * 3, SOURCE)
    assert [len(layers) for layers in recording.forwards] == [2, 1]
    assert torch.equal(recording.forwards[0][1].size, SIZE * 3)


def test_the_reader_watches_the_first_pass_alone():
    reader = AttentionReader(1)
    assert reader.watch() is reader
    assert reader.watch() is None


def test_the_reader_stops_at_its_layer():
    reader = AttentionReader(1)
    assert [reader.wants_attention(i) for i in range(3)] == [False, True, False]
    reader.on_block(0, SIZE, SOURCE)
    assert reader.row is None
    row = AttentionRow(VALUES, SIZE, SOURCE, 1)
    with pytest.raises(StopForward):
        reader.on_attention(1, row)
    assert reader.row is row
