"""The merging forward that all families share, on a block whose branches are known."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import timm_mergemix as mm
from timm_mergemix import MergeMixError
from timm_mergemix.merge.blocks import MergingBlock
from timm_mergemix.merge.model import MergingModel
from timm_mergemix.merge.record import Recording
from timm_mergemix.merge.schedule import parse
from timm_mergemix.merge.settings import Layout, Settings
from timm_mergemix.merge.state import Merging

from ..models import images, tiny
from .reference import no_near_ties, randn, soft_matching


class PlainBlock(nn.Module):
    def forward(self, x, attn_mask=None):
        return x + 100 if attn_mask is None else x + attn_mask


class ToyBlock(MergingBlock, PlainBlock):
    """Keys are the tokens; each branch adds a constant, and the biases that came are written down."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def attention_branch(self, x, context):
        self.seen.append(context.bias)
        return torch.ones_like(x), x

    def mlp_branch(self, x):
        return torch.full_like(x, 10.0)

    def query_key(self, x, queries, context):
        return x[:, None, queries], x[:, None], 1.0


class ToyModel(MergingModel):
    def __init__(self, blocks):
        super().__init__()
        self.blocks = nn.Sequential(*blocks)


class Forward(nn.Module):
    def forward(self, x):
        return self.blocks(x)


class Model(ToyModel, Forward):
    """Its head reads patches."""


class TokenModel(Model):
    def head_reads_patches(self):
        return False


def build(r, depth=3, prefix=1, cls=Model, prop_attn=True, has_class_token=True):
    model = cls([ToyBlock() for _ in range(depth)])
    layout = Layout(prefix, has_class_token=has_class_token)
    model.merging = Merging(Settings(parse(r, depth), prop_attn), depth, layout)
    for index, block in enumerate(model.blocks):
        block.merging, block.merge_index = model.merging, index
    return model


def slow_forward(x, merges, prefix):
    """One sample through toy blocks: rows of lists, merged pair by pair."""
    tokens = [(list(row), 1) for row in x.tolist()]
    for r in merges:
        keep, merged = soft_matching([row for row, _ in tokens], r, prefix)
        tokens = [([value + 1 for value in row], size) for row, size in tokens]
        after = []
        for position in keep:
            members = [tokens[position], *[tokens[a] for a, b in merged.items() if b == position]]
            size = sum(s for _, s in members)
            after.append(([sum(row[c] * s for row, s in members) / size for c in range(x.shape[1])], size))
        tokens = [([value + 10 for value in row], size) for row, size in after]
    return tokens


@settings(max_examples=25, deadline=None)
@given(patches=st.integers(4, 16), prefix=st.integers(0, 3), seed=st.integers(0, 2**31), r=st.integers(1, 5))
def test_the_forward_equals_a_slow_one(patches, prefix, seed, r):
    x = randn(2, prefix + patches, 6, seed=seed)
    model = build(r, depth=2, prefix=prefix, cls=TokenModel)
    recording = Recording(attention=False)
    with model.merging.scope(observer=recording):
        out = model(x)
    merges = [patches + prefix - recording.layers[0].size.shape[1]]
    merges.append(recording.layers[0].size.shape[1] - out.shape[1])
    assert merges[0] == min(r, patches // 2)
    for b in range(2):
        if not no_near_ties(x[b], prefix):
            continue
        first = slow_forward(x[b].double(), merges[:1], prefix)
        assert [size for _, size in first] == recording.layers[0].size[b].tolist()
        if not no_near_ties(torch.tensor([row for row, _ in first]), prefix, gap=1e-4):
            continue
        slow = slow_forward(x[b].double(), merges, prefix)
        torch.testing.assert_close(out[b], torch.tensor([row for row, _ in slow]), rtol=1e-4, atol=1e-4)
        assert [size for _, size in slow] == recording.layers[1].size[b].tolist()


def test_without_merges_the_blocks_own_forward_runs():
    model, x = build(0), randn(2, 9, 4)
    assert torch.equal(model(x), x + 100 + 100 + 100)
    assert all(block.seen == [] for block in model.blocks)


def test_blocks_run_their_own_forward_until_something_has_merged():
    model, x = build([0, 2, 0]), randn(2, 9, 4)
    out = model(x)
    assert [len(block.seen) for block in model.blocks] == [0, 1, 1]
    assert model.blocks[1].seen == [None]
    assert model.blocks[2].seen[0].shape == (2, 1, 1, 7)
    assert out.shape == x.shape


def test_the_bias_is_the_log_of_the_sizes():
    model, recording = build([3, 2, 1]), Recording(attention=False)
    with model.merging.scope(observer=recording):
        model(randn(2, 13, 4))
    for block, before in zip(model.blocks[1:], recording.layers, strict=False):
        assert torch.equal(block.seen[0][:, 0, 0], before.size.log())


def test_the_bias_has_the_dtype_of_the_tokens():
    model = build([3, 2, 1])
    model(randn(2, 13, 4).bfloat16())
    assert model.blocks[2].seen[0].dtype == torch.bfloat16


def test_proportional_attention_can_be_off():
    model = build([3, 2, 1], prop_attn=False)
    model(randn(2, 13, 4))
    assert [block.seen for block in model.blocks] == [[None], [None], [None]]


def test_merging_stands_between_attention_and_mlp():
    # Sizes 2, 1, 1 after the merge; every token gets 1 from the attention and 10 from the MLP, whatever its size.
    x = torch.tensor([[[1.0, 0.0], [2.0, 0.0], [0.0, 5.0], [-3.0, 1.0]]])
    out = build(1, depth=1, prefix=0, cls=TokenModel)(x)
    assert out.tolist() == [[[11.0, 16.0], [12.5, 11.0], [8.0, 12.0]]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"attn_mask": torch.zeros(9, 9)}, "^attn_mask: got a mask, wanted no mask"),
        ({"is_causal": True}, "^is_causal: got True, wanted no mask"),
    ],
)
def test_masks_are_refused(arguments, message):
    block = build(1).blocks[0]
    with pytest.raises(MergeMixError, match=message):
        block(randn(2, 9, 4), **arguments)


def test_a_patch_dropout_that_leaves_few_tokens_is_met_by_clipping():
    out = build(8, cls=TokenModel)(randn(1, 4, 4))
    assert out.shape[1] == 2


@pytest.mark.parametrize("has_class_token", [True, False])
def test_recorded_attention_is_that_of_the_class_token_or_of_all_patches(has_class_token):
    model, recording = build([2, 0, 0], has_class_token=has_class_token), Recording()
    x = randn(2, 9, 4)
    with model.merging.scope(observer=recording):
        model(x)
    asking = x[:, :1] if has_class_token else x[:, 1:]
    wanted = (asking @ x.mT).softmax(-1).mean(1)[:, 1:]
    torch.testing.assert_close(recording.layers[0].attention, wanted)
    assert all(layer.attention.shape == (2, 8) for layer in recording.layers)
    assert all((layer.attention.sum(1) < 1 + 1e-6).all() for layer in recording.layers)


def test_checkpointing_recomputes_the_same():
    calls = []

    def run(checkpointing):
        model, x = build([2, 1, 0]), randn(2, 9, 4).requires_grad_()
        model.merging.checkpointing = checkpointing
        out = model(x)
        (out**2).sum().backward()
        calls.append([len(block.seen) for block in model.blocks])
        return out, x.grad

    for plain, recomputed in zip(run(False), run(True), strict=True):
        assert torch.equal(plain, recomputed)
    # The last block merges nothing, so its backward pass needs nothing of its forward pass.
    assert calls == [[1, 1, 1], [2, 2, 1]]


def test_checkpointing_does_nothing_without_gradients():
    model = build([2, 1, 0])
    model.merging.checkpointing = True
    with torch.no_grad():
        model(randn(2, 9, 4))
    assert [len(block.seen) for block in model.blocks] == [1, 1, 1]


def test_recomputation_uses_the_settings_of_the_forward():
    model = mm.patch(tiny(), 3)
    for block in model.blocks:
        block.attn.fused_attn = False
    x = images(model)

    def gradients(checkpointing):
        model.zero_grad()
        model.set_grad_checkpointing(checkpointing)
        with mm.merging(model, prop_attn=False):
            loss = model(x).square().sum()
        loss.backward()  # where the patch's own settings are in force again
        return [parameter.grad.clone() for parameter in model.parameters()]

    assert all(torch.equal(a, b) for a, b in zip(gradients(False), gradients(True), strict=True))


def test_recomputation_after_the_patch_is_gone_is_refused():
    model = tiny()
    model.set_grad_checkpointing()
    with mm.merging(model, r=3):
        loss = model(images(model)).sum()
    with pytest.raises(MergeMixError, match="backward pass with gradient checkpointing after the model was unpatched"):
        loss.backward()
