"""timm's VisionTransformer, patched: what is special to it beside what holds for every family."""

import inspect

import pytest
import torch
from timm.layers import DropPath
from timm.models.vision_transformer import Block, VisionTransformer

import timm_mergemix as mm
from timm_mergemix import MergeMixError
from timm_mergemix.merge.matching.tokens import recover

from ...models import images, tiny
from ..patched import assert_holds_no_tensor
from ..reference import alone, randn, relative_error, sequence_lengths
from .cases import BUILDERS, VITS, WIDTH, each_vit
from .training import backward

# What timm builds a plain block from.
BLOCKS = [
    case for case in VITS if case in ("vit", "qk-norm", "attention norm", "LayerScale", "registers", "aimv2", "gated")
]


@pytest.mark.parametrize("checkpointing", [False, True])
def test_r_0_is_the_identity_in_training(checkpointing):
    drops = {
        "proj_drop_rate": 0.1,
        "attn_drop_rate": 0.1,
        "drop_path_rate": 0.3,
        "pos_drop_rate": 0.1,
        "drop_rate": 0.1,
    }
    model = tiny(**drops).train()
    model.set_grad_checkpointing(checkpointing)
    x = images(model, batch=4)
    out, grads = backward(model, x)
    patched_out, patched_grads = backward(mm.patch(model, 0), x)
    assert torch.equal(out, patched_out)
    assert all(torch.equal(grads[name], patched_grads[name]) for name in grads)
    other, _ = backward(model, x, seed=1)
    assert not torch.equal(out, other)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("case", BLOCKS)
def test_the_branches_are_the_block(case, train):
    model = mm.patch(BUILDERS[case](), 2).train(train)
    x = randn(8, 17, WIDTH)
    for block in model.blocks:
        block.drop_path1, block.drop_path2 = DropPath(0.4), DropPath(0.3)
        block.attn.attn_drop.p = block.attn.proj_drop.p = block.mlp.drop1.p = 0.2
        model.train(train)
        torch.manual_seed(0)
        wanted = Block.forward(block, x)
        torch.manual_seed(0)
        after = x + block.attention_branch(x, alone())[0]
        assert torch.equal(after + block.mlp_branch(after), wanted)


@each_vit
def test_pooling_recovered_tokens_is_the_size_weighted_mean(case):
    model = mm.patch(BUILDERS[case](), 3)
    x, prefix = images(model), model.num_prefix_tokens
    with mm.record(model) as rec:
        features = model.forward_features(x)
    with model.opened(recovering=False):
        merged = model.forward_features(x)
    size = rec.layers[-1].size[:, prefix:, None]
    assert merged.shape[1] == prefix + 7
    assert torch.equal(recover(merged, rec.layers[-1].source), features)
    weighted = (merged[:, prefix:] * size).sum(1) / size.sum(1)
    torch.testing.assert_close(features[:, prefix:].mean(1), weighted, rtol=1e-5, atol=1e-5)
    plain = merged[:, prefix:].mean(1)
    assert relative_error(plain, weighted) > 1e-3


def test_only_a_head_that_reads_patches_has_them_recovered():
    lengths = {}
    for case in VITS:
        model = mm.patch(BUILDERS[case](), 3)
        model.blocks[-1].register_forward_hook(lambda *args, case=case: lengths.update({case: args[2].shape[1]}))
        model(images(model))
        all_tokens = 16 + model.num_prefix_tokens
        assert lengths[case] == all_tokens - (9 if model.global_pool == "token" else 0), case
    assert lengths["vit"] == 8 and lengths["average"] == 17


def test_a_model_of_all_sizes_merges_in_images_of_any_size():
    model = mm.patch(tiny(dynamic_img_size=True), ("keep", 0.5))
    for height, width in ((64, 64), (96, 32), (48, 128)):
        info = mm.merge_info(model, (height, width))
        with mm.record(model) as rec:
            out = model(randn(2, 3, height, width))
        assert sequence_lengths(rec.layers) == list(info.tokens[1:])
        assert info.tokens[-1] == 1 + height * width // 256 // 2
        assert out.shape == (2, 10)
    features = model.forward_intermediates(randn(2, 3, 96, 32), intermediates_only=True)
    assert [tuple(feature.shape) for feature in features] == [(2, 48, 6, 2)] * 3


def test_a_model_of_one_block_merges():
    model = tiny(depth=1, global_pool="avg")
    x = images(model)
    plain = model(x)
    assert torch.equal(mm.patch(model, 0)(x), plain)
    mm.patch(model, ("decreasing", 3))
    with mm.record(model) as rec:
        assert model.forward_features(x).shape[1] == 17
    assert sequence_lengths(rec.layers) == [14]
    _, grads = backward(model.train(), x)
    assert all(grad.isfinite().all() and grad.any() for grad in grads.values())


@pytest.mark.parametrize("function", ["forward", "forward_features"])
def test_masks_are_refused(function):
    model = mm.patch(tiny(), 2)
    with pytest.raises(MergeMixError, match=r"^attn_mask: got a mask, wanted no mask"):
        getattr(model, function)(images(model), attn_mask=torch.zeros(17, 17))
    if "is_causal" in inspect.signature(VisionTransformer.forward).parameters:
        with pytest.raises(MergeMixError, match=r"^is_causal: got True, wanted no mask"):
            getattr(model, function)(images(model), is_causal=True)


def test_where_nothing_merges_a_mask_does_what_it_does():
    model, mask = tiny(), torch.zeros(17, 17).index_fill(1, torch.arange(9, 17), -torch.inf)
    wanted = model(images(model), attn_mask=mask)
    assert not torch.allclose(wanted, model(images(model)), rtol=1e-3)
    mm.patch(model, 0)
    assert torch.equal(model(images(model), attn_mask=mask), wanted)
    with mm.record(model), pytest.raises(MergeMixError, match=r"^attn_mask: got a mask, wanted no mask"):
        model(images(model), attn_mask=mask)


def test_an_error_inside_the_attention_leaves_no_keys_behind():
    model = tiny()
    mm.patch(model, 3)
    handle = model.blocks[1].attn.proj.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model(images(model))
    handle.remove()
    assert_holds_no_tensor(model)
    mm.unpatch(model)
    assert not any(key.startswith("_merging") for module in model.modules() for key in module.__dict__)


def test_gradients_of_intermediates_are_those_of_features():
    model = mm.patch(tiny(), 3).train()
    x = images(model)
    model.forward_features(x).square().sum().backward()
    wanted = [parameter.grad for parameter in model.blocks.parameters()]
    model.zero_grad()
    model.forward_intermediates(x)[0].square().sum().backward()
    torch.testing.assert_close([parameter.grad for parameter in model.blocks.parameters()], wanted)


@pytest.mark.parametrize("indices", [[0, 1], [1], 2])
@pytest.mark.parametrize("patch_first", [False, True])
def test_a_pruned_model_merges_in_the_blocks_that_it_has(indices, patch_first):
    model, full = tiny(), mm.patch(tiny(), [3, 2, 1])
    x = images(model)
    if patch_first:
        mm.patch(model, [3, 2, 1])
        model.prune_intermediate_layers(indices, prune_norm=True)
    else:
        model.prune_intermediate_layers(indices, prune_norm=True)
        mm.patch(model, [3, 2, 1][: len(model.blocks)])
    depth = len(model.blocks)
    assert mm.merge_info(model).merges == (3, 2, 1)[:depth]
    wanted = full.forward_intermediates(x, output_fmt="NLC", intermediates_only=True)[depth - 1]
    features = model.forward_features(x)
    assert torch.equal(features[:, 1:], wanted)
    assert torch.equal(model(x), features)
    got = model.forward_intermediates(x, output_fmt="NLC", intermediates_only=True)[-1]
    assert torch.equal(got, wanted)
    assert_holds_no_tensor(model)
    mm.patch(model, [1] * depth)
    assert mm.merge_info(model).merges == (1,) * depth


@pytest.mark.parametrize("case", BLOCKS)
@pytest.mark.parametrize("r", [0, 3])
def test_recorded_attention_is_the_attention_of_the_block(case, r):
    model = mm.patch(BUILDERS[case](), r)
    x, prefix, seen = images(model), model.num_prefix_tokens, []
    for block in model.blocks:
        block.attn.fused_attn = False
        block.attn.attn_drop.register_forward_pre_hook(lambda _, args: seen.append(args[0].mean(1)))
    with mm.record(model) as rec:
        model(x)
    size = torch.ones(2, prefix + 16)
    source = torch.arange(prefix + 16).expand(2, -1)
    for attention, layer in zip(seen, rec.layers, strict=True):
        if model.has_class_token:
            row = attention[:, 0]
        else:
            weights = size[:, None, prefix:]
            row = (weights @ attention[:, prefix:])[:, 0] / weights.sum(-1)
        wanted = recover(row / size, source)[:, prefix:]
        torch.testing.assert_close(layer.attention, wanted, rtol=1e-4, atol=1e-6)
        size, source = layer.size, layer.source
