"""timm's Eva: what is its own beside what holds for every family."""

import inspect

import pytest
import torch
from timm.layers import apply_rot_embed_cat
from timm.models.eva import EvaAttention, EvaBlockPostNorm

import timm_mergemix as mm
from timm_mergemix import MergeMixError
from timm_mergemix.merge.blocks import Context

from ...models import images
from ..reference import randn, sequence_lengths
from .cases import build


def test_keys_are_rotated_for_the_saliency():
    model = mm.patch(build("rope"), 0)
    block = model.blocks[0]
    x, rope = randn(1, 17, 96), model._pos_embed(model.patch_embed(images(model)))[1]
    _, plain, _ = block.query_key(x, slice(None), Context(None, None, None, {"rope": None}))
    _, key, _ = block.query_key(x, slice(None), Context(None, None, None, {"rope": rope}))
    assert torch.equal(key[:, :, :1], plain[:, :, :1])
    torch.testing.assert_close(key[:, :, 1:], apply_rot_embed_cat(plain[:, :, 1:], rope))


@pytest.mark.parametrize("case", ["rope, mixed", "eva02"])
def test_merging_counts_only_the_patches_that_dropout_leaves(case):
    model = mm.patch(build(case, patch_drop_rate=0.5), 2).train()
    torch.manual_seed(0)
    with mm.record(model, attention=False) as rec:
        model(images(model))
    assert sequence_lengths(rec.layers) == [9 - 2, 9 - 4, 9 - 6]
    assert (rec.layers[-1].size.sum(dim=1) == 9).all()


def test_masks_are_refused():
    block = mm.patch(build("eva02"), 2).blocks[0]
    with pytest.raises(MergeMixError, match="attn_mask: got a mask"):
        block(randn(1, 17, 96), attn_mask=torch.zeros(1, 1, 1, 17))


class OwnAttention(EvaAttention):
    pass


def test_an_unknown_attention_is_refused():
    model = build("eva02")
    model.blocks[2].attn.__class__ = OwnAttention
    with pytest.raises(MergeMixError, match="its blocks use OwnAttention, known are EvaAttention and AttentionRope"):
        mm.patch(model, 2)


@pytest.mark.skipif(
    "swiglu_align_to" not in inspect.signature(EvaBlockPostNorm).parameters,
    reason="this timm cannot build an Eva of post-norm blocks",
)
def test_post_norm_blocks_merge():
    model = build("eva02", use_post_norm=True)
    x = images(model)
    plain = model(x)
    assert torch.equal(mm.patch(model, 0)(x), plain)
    before = model.blocks[0].query_key(randn(1, 17, 96), slice(0, 1), Context(None, None, None, {"rope": None}))
    assert before[0].shape == (1, 3, 1, 32) and before[1].shape == (1, 3, 17, 32)
    assert mm.patch(model, 3)(x).shape == plain.shape
    assert mm.saliency_map(model, x).shape == (2, 4, 4)
