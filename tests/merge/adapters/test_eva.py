"""Models with rotary positions: EVA, EVA-02, DINOv3, Perception Encoder, rope ViTs; and the other blocks of ViTs."""

import inspect

import pytest
import timm
import torch
from timm.layers import apply_rot_embed_cat
from timm.models.eva import EvaAttention, EvaBlockPostNorm

import timm_mergemix as mm
from timm_mergemix import MergeMixError
from timm_mergemix.merge.blocks import Context

from ...models import images, tiny
from ..reference import randn, relative_error, sequence_lengths

NAMES = [
    "eva_large_patch14_196",
    "eva02_tiny_patch14_224",
    "eva02_base_patch16_clip_224",
    "vit_intern300m_patch14_448",
    "eva02_large_patch14_clip_224",
    "vit_pe_core_tiny_patch16_384",
    "vit_medium_patch16_rope_reg1_gap_256",
    "vit_small_patch16_rope_224",
    "vit_small_patch16_rope_mixed_224",
    "vit_small_patch16_dinov3",
    "vit_base_patch16_dinov3_qkvb",
    "vit_small_patch16_36x1_224",
    "vit_small_patch16_18x2_224",
    "vit_base_patch16_xp_224",
    "vit_base_patch16_rpn_224",
]
EXISTING = [name for name in NAMES if timm.is_model(name)]


def build(name: str, **options: object) -> torch.nn.Module:
    return tiny(name, **{"embed_dim": 96, "num_heads": 3} | options)


each_model = pytest.mark.parametrize("name", EXISTING)


@each_model
def test_r0_is_the_model_itself_and_unpatch_restores_it(name):
    model = build(name)
    before = {key: dict(module.__dict__) for key, module in model.named_modules()}
    x = images(model)
    plain = model(x)
    assert torch.equal(mm.patch(model, 0)(x), plain)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model(x)
    assert not torch.allclose(mm.patch(model, 3)(x), plain, rtol=1e-3)
    mm.unpatch(model)
    assert torch.equal(model(x), plain)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model(x), mixed)
    assert before == {key: dict(module.__dict__) for key, module in model.named_modules()}


@each_model
def test_tokens_per_layer_and_gradients(name):
    model = mm.patch(build(name), 3)
    x = images(model)
    with mm.record(model) as rec:
        out = model(x)
    start = model.num_prefix_tokens + model.patch_embed.num_patches
    assert sequence_lengths(rec.layers) == [start - 3, start - 6, start - 9]
    assert mm.merge_info(model).tokens == (start, start - 3, start - 6, start - 9)
    out.square().sum().backward()
    grads = {key: parameter.grad for key, parameter in model.named_parameters()}
    assert all(grad is not None and grad.isfinite().all() for grad in grads.values())


@each_model
def test_checkpointing_changes_no_gradient(name):
    model = mm.patch(build(name), 3).train()
    x = images(model)
    results = []
    for enable in (False, True):
        model.zero_grad()
        model.set_grad_checkpointing(enable)
        model(x).square().sum().backward()
        results.append([parameter.grad.clone() for parameter in model.parameters()])
    assert all(torch.equal(plain, recomputed) for plain, recomputed in zip(*results, strict=True))


@each_model
def test_all_tokens_come_back(name):
    model = build(name)
    x = images(model)
    plain = model.forward_features(x)
    layers = model.forward_intermediates(x, intermediates_only=True)
    mm.patch(model, 3)
    assert model.forward_features(x).shape == plain.shape
    merged = model.forward_intermediates(x, intermediates_only=True)
    assert [layer.shape for layer in merged] == [layer.shape for layer in layers]


def attentions(block):
    if hasattr(block, "attns"):
        return [part.attn for part in block.attns]
    return [getattr(block, "attn", block)]


@each_model
def test_saliency_is_the_softmax_that_timm_computes(name):
    model = build(name)
    x = images(model)
    seen = []
    for attn in attentions(model.blocks[1]):
        attn.fused_attn = False
        attn.attn_drop.register_forward_hook(lambda module, args, out: seen.append(args[0].detach()))
    model(x)
    attention, prefix = torch.cat(seen, dim=1).mean(dim=1), model.num_prefix_tokens
    has_class_token = model.cls_token is not None
    row = attention[:, 0, prefix:] if has_class_token else attention[:, prefix:, prefix:].mean(dim=1)
    row = row / row.sum(dim=1, keepdim=True)
    torch.testing.assert_close(mm.saliency_map(model, x, layer=1).flatten(1), row, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("name", [name for name in EXISTING if "36x1" not in name and "rpn" not in name])
def test_attention_over_merged_tokens_is_attention_over_repeated_ones(name, fused):
    # Duplicates at one position: the mean rotation of a merged token is then that of its members, and all is exact.
    model = mm.patch(build(name), 3)
    block, prefix = model.blocks[1], model.num_prefix_tokens
    for attn in attentions(block):
        attn.fused_attn = fused
    size = torch.tensor([1] * prefix + [3, 1, 2, 5, 1])
    x = randn(2, prefix + 5, 96)
    source = torch.arange(prefix + 5).repeat_interleave(size).expand(2, -1)
    sizes = size.float().expand(2, -1)
    rope = None
    if getattr(model, "rope", None) is not None:
        embedding = model._pos_embed(model.patch_embed(images(model)))[1]
        embedding = embedding[1] if embedding.ndim == 4 else embedding  # a table for each depth
        rope = embedding[..., :5, :].repeat_interleave(size[prefix:], dim=-2)
    merged, keys = block.attention_branch(x, Context(sizes, source, sizes.log()[:, None, None], {"rope": rope}))
    repeated, wanted_keys = block.attention_branch(
        x.repeat_interleave(size, dim=1), Context(None, None, None, {"rope": rope})
    )
    first = size.cumsum(0) - size
    assert relative_error(merged, repeated[:, first]) <= 1e-5
    torch.testing.assert_close(keys, wanted_keys[:, first], rtol=1e-5, atol=1e-5)
    without, _ = block.attention_branch(x, Context(sizes, source, None, {"rope": rope}))
    assert relative_error(without, repeated[:, first]) > 1e-3


def test_keys_are_rotated_for_the_saliency():
    model = mm.patch(build("vit_small_patch16_rope_224"), 0)
    block = model.blocks[0]
    x, rope = randn(1, 17, 96), model._pos_embed(model.patch_embed(images(model)))[1]
    _, plain, _ = block.query_key(x, slice(None), Context(None, None, None, {"rope": None}))
    _, key, _ = block.query_key(x, slice(None), Context(None, None, None, {"rope": rope}))
    assert torch.equal(key[:, :, :1], plain[:, :, :1])
    torch.testing.assert_close(key[:, :, 1:], apply_rot_embed_cat(plain[:, :, 1:], rope))


@pytest.mark.parametrize("name", ["vit_small_patch16_rope_mixed_224", "eva02_tiny_patch14_224"])
def test_patch_dropout(name):
    model = mm.patch(build(name, patch_drop_rate=0.5), 2).train()
    torch.manual_seed(0)
    with mm.record(model, attention=False) as rec:
        model(images(model))
    assert sequence_lengths(rec.layers) == [9 - 2, 9 - 4, 9 - 6]
    assert (rec.layers[-1].size.sum(dim=1) == 9).all()


def test_masks_are_refused():
    block = mm.patch(build("eva02_tiny_patch14_224"), 2).blocks[0]
    with pytest.raises(MergeMixError, match="attn_mask: got one"):
        block(randn(1, 17, 96), attn_mask=torch.zeros(1, 1, 1, 17))


@pytest.mark.parametrize("name", ["eva02_tiny_patch14_224", "vit_small_patch16_rope_mixed_224"])
def test_compiles_to_one_graph(name):
    torch._dynamo.reset()
    model = mm.patch(build(name), 3)
    x = images(model)
    torch.testing.assert_close(torch.compile(model, backend="eager", fullgraph=True)(x), model(x))


class OwnAttention(EvaAttention):
    pass


def test_an_unknown_attention_is_refused():
    model = build("eva02_tiny_patch14_224")
    model.blocks[2].attn.__class__ = OwnAttention
    with pytest.raises(MergeMixError, match="its blocks use OwnAttention, known are EvaAttention and AttentionRope"):
        mm.patch(model, 2)


@pytest.mark.skipif(
    "swiglu_align_to" not in inspect.signature(EvaBlockPostNorm).parameters,
    reason="this timm cannot build an Eva of post-norm blocks",
)
def test_post_norm_blocks():
    model = build("eva02_tiny_patch14_224", use_post_norm=True)
    x = images(model)
    plain = model(x)
    assert torch.equal(mm.patch(model, 0)(x), plain)
    before = model.blocks[0].query_key(randn(1, 17, 96), slice(0, 1), Context(None, None, None, {"rope": None}))
    assert before[0].shape == (1, 3, 1, 32) and before[1].shape == (1, 3, 17, 32)
    assert mm.patch(model, 3)(x).shape == plain.shape
    assert mm.saliency_map(model, x).shape == (2, 4, 4)
