"""timm's VisionTransformer, patched."""

import inspect

import pytest
import timm
import torch
import torch.nn.functional as F
from timm.layers import DropPath
from timm.models.vision_transformer import Attention, Block, VisionTransformer

import timm_mergemix as mm
from timm_mergemix import MergeMixError
from timm_mergemix.merge.families.keys import AWAITED
from timm_mergemix.merge.families.vit import VitFamily
from timm_mergemix.merge.matching.tokens import log_size_bias, recover
from timm_mergemix.merge.patch import merging_state

from ...models import gate, images, tiny
from ..reference import MODELS, alone, randn, relative_error, sequence_lengths

GATED = "gated" in inspect.signature(Attention).parameters
PRR = "prr" in str(inspect.signature(VisionTransformer))

BUILDERS = {name: (lambda name=name: tiny(name)) for name in MODELS} | {
    "qk-norm": lambda: tiny(qk_norm=True),
    "attention norm": lambda: tiny(scale_attn_norm=True),
    "no pool": lambda: tiny(global_pool=""),
    "no classes": lambda: tiny(num_classes=0),
    "no pool, no classes": lambda: tiny(global_pool="", num_classes=0),
    "hybrid": lambda: tiny("vit_tiny_r_s16_p8_224", img_size=128),
    "depth 1": lambda: tiny(depth=1),
}
if GATED:
    BUILDERS["gated"] = lambda: gate(tiny())
each_model = pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS.keys())

FAMILY = VitFamily()
HEADS = {"token": {}, "avg": {"global_pool": "avg"}, "max": {"global_pool": "max"}, "avgmax": {"global_pool": "avgmax"}}
HEADS |= {"map": {"global_pool": "map", "class_token": False}, "map, class token": {"global_pool": "map"}}
HEADS |= {"map, prefix": {"global_pool": "map", "pool_include_prefix": True}}
if PRR:
    HEADS["prr"] = {"global_pool": "prr"}


def gradients(model):
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def backward(model, x, seed=0):
    """Output and gradients of one training step."""
    model.zero_grad()
    torch.manual_seed(seed)
    out = model(x)
    out.square().sum().backward()
    return out.detach(), gradients(model)


def assert_holds_no_tensor(model):
    state = merging_state(model)
    assert (state.tokens, state.aside, state.observer) == (None, None, None)
    assert not any(AWAITED in module.__dict__ for module in model.modules())


# ---------------------------------------------------------------- r = 0


@each_model
def test_r_0_is_the_identity(build):
    model = build()
    x = images(model)
    wanted = model(x)
    assert torch.equal(mm.patch(model, 0)(x), wanted)
    assert torch.equal(model.forward_head(model.forward_features(x)), wanted)


@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")
@each_model
def test_r_0_is_the_identity_under_autocast(build):
    model = build()
    x = images(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        wanted = model(x)
        out = mm.patch(model, 0)(x)
    assert torch.equal(out, wanted)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_r_0_is_the_identity_in_other_dtypes(dtype):
    model = tiny("deit3_small_patch16_224").to(dtype)
    x = images(model).to(dtype)
    wanted = model(x)
    assert torch.equal(mm.patch(model, 0)(x), wanted)


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


# ---------------------------------------------------------------- proportional attention: the duplicate oracle

BLOCKS = {
    "plain": tiny,
    "qk-norm": lambda: tiny(qk_norm=True),
    "attention norm": lambda: tiny(scale_attn_norm=True),
    "deit3": lambda: tiny("deit3_small_patch16_224"),
    "dinov2": lambda: tiny("vit_small_patch14_reg4_dinov2"),
    "aimv2": lambda: tiny("aimv2_large_patch14_224"),
}
if GATED:
    BLOCKS["gated"] = lambda: gate(tiny())


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("build", BLOCKS.values(), ids=BLOCKS.keys())
def test_attention_over_merged_tokens_is_attention_over_repeated_ones(build, fused):
    block = mm.patch(build(), 2).blocks[1]
    block.attn.fused_attn = fused
    x, size = randn(2, 7, 48), torch.tensor([1, 3, 1, 2, 5, 1, 4])
    repeated = x.repeat_interleave(size, dim=1)
    first = size.cumsum(0) - size
    branch, keys = block.attention_branch(x, alone(log_size_bias(size.float().expand(2, -1), x.dtype)))
    wanted, wanted_keys = block.attention_branch(repeated, alone())
    assert relative_error(branch, wanted[:, first]) <= 1e-5
    torch.testing.assert_close(keys, wanted_keys[:, first], rtol=1e-5, atol=1e-5)
    without, _ = block.attention_branch(x, alone())
    assert relative_error(without, wanted[:, first]) > 1e-2


def paired(model, seed=0):
    """Images whose patches come in identical pairs, for a model whose position embeddings are made to as well."""
    rows, columns = model.patch_embed.grid_size
    height, width = model.patch_embed.patch_size
    patches = randn(2, 3, rows, columns // 2, height, width, seed=seed).repeat_interleave(2, dim=3)
    with torch.no_grad():
        places = model.pos_embed[:, -rows * columns :]
        places.copy_(places[:, ::2].repeat_interleave(2, dim=1))
    return patches.permute(0, 1, 2, 4, 3, 5).reshape(2, 3, rows * height, columns * width)


def with_head(options):
    return lambda: tiny(**options)


PAIRED = {f"head {name}": with_head(options) for name, options in HEADS.items()} | {
    name: (lambda name=name: tiny(name)) for name in MODELS
}


@pytest.mark.parametrize("r", [[8, 0, 0], [0, 8, 0]])
@pytest.mark.parametrize("build", PAIRED.values(), ids=PAIRED.keys())
def test_merging_identical_patches_changes_nothing(build, r):
    model = build()
    x = paired(model)
    wanted, features = model(x), model.forward_features(x)
    prefix = model.num_prefix_tokens
    torch.testing.assert_close(features[:, prefix::2], features[:, prefix + 1 :: 2])
    with mm.record(mm.patch(model, r)) as rec:
        out = model(x)
    pairs = torch.arange(8).repeat_interleave(2) + prefix
    assert all(torch.equal(source[prefix:], pairs) for source in rec.layers[-1].source)
    assert relative_error(out, wanted) <= 1e-5
    assert relative_error(model.forward_features(x), features) <= 1e-5
    mm.patch(model, r, prop_attn=False)
    # Without prefix tokens all sizes are 2 here, and a constant bias is none.
    assert (relative_error(model(x), wanted) > 1e-3) is (prefix > 0)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("build", BLOCKS.values(), ids=BLOCKS.keys())
def test_the_branches_are_the_block(build, train):
    model = mm.patch(build(), 2).train(train)
    x = randn(8, 17, 48)
    for block in model.blocks:
        block.drop_path1, block.drop_path2 = DropPath(0.4), DropPath(0.3)
        block.attn.attn_drop.p = block.attn.proj_drop.p = block.mlp.drop1.p = 0.2
        model.train(train)
        torch.manual_seed(0)
        wanted = Block.forward(block, x)
        torch.manual_seed(0)
        after = x + block.attention_branch(x, alone())[0]
        assert torch.equal(after + block.mlp_branch(after), wanted)


# ---------------------------------------------------------------- merging


@each_model
def test_merged_forward_and_backward(build):
    model = build().train()
    out, grads = backward(mm.patch(model, 3), images(model))
    assert out.isfinite().all()
    for name, grad in grads.items():
        assert grad.isfinite().all(), name
        assert grad.abs().max() > 0, name
    assert_holds_no_tensor(model)


@pytest.mark.parametrize("name", MODELS)
def test_pooling_recovered_tokens_is_the_size_weighted_mean(name):
    model = mm.patch(tiny(name), 3)
    x, prefix = images(model), model.num_prefix_tokens
    with mm.record(model) as rec:
        features = model.forward_features(x)
    with merging_state(model).during(recovering=False):
        merged = model.forward_features(x)
    size = rec.layers[-1].size[:, prefix:, None]
    assert merged.shape[1] == prefix + 7
    assert torch.equal(recover(merged, rec.layers[-1].source), features)
    weighted = (merged[:, prefix:] * size).sum(1) / size.sum(1)
    torch.testing.assert_close(features[:, prefix:].mean(1), weighted, rtol=1e-5, atol=1e-5)
    plain = merged[:, prefix:].mean(1)
    assert relative_error(plain, weighted) > 1e-3


@each_model
def test_forward_features_gives_all_tokens_and_forward_head_takes_them(build):
    model = build()
    x = images(model)
    shape = model.forward_features(x).shape
    mm.patch(model, 3)
    features = model.forward_features(x)
    assert features.shape == shape
    torch.testing.assert_close(model.forward_head(features), model(x), rtol=1e-5, atol=1e-5)
    assert_holds_no_tensor(model)


def test_only_a_head_that_reads_patches_has_them_recovered():
    lengths = {}
    for name, options in HEADS.items():
        model = mm.patch(tiny(**options), 3)
        model.blocks[-1].register_forward_hook(lambda *args, name=name: lengths.update({name: args[2].shape[1]}))
        model(images(model))
    assert lengths.pop("token") == 8
    assert set(lengths.values()) == {16, 17}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast(dtype):
    model = mm.patch(tiny("vit_betwixt_patch16_reg4_gap_256"), 3)
    x = images(model)
    wanted = model(x)
    with torch.autocast("cpu", dtype=dtype), mm.record(model) as rec:
        out = model(x)
    assert out.dtype == dtype
    assert sequence_lengths(rec.layers) == list(mm.merge_info(model).tokens[1:])
    assert rec.layers[-1].size.dtype == torch.float32
    assert rec.layers[-1].attention.dtype == torch.float32
    assert relative_error(out.float(), wanted) < 0.5
    assert out.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_models_in_other_dtypes(dtype):
    model = mm.patch(tiny("vit_small_patch14_reg4_dinov2").to(dtype), 3)
    with mm.record(model) as rec:
        out = model(images(model).to(dtype))
    assert out.dtype == dtype
    assert out.isfinite().all()
    assert (rec.layers[-1].size.sum(1) == 21).all()


def test_patch_dropout_in_training():
    model = mm.patch(tiny(patch_drop_rate=0.5), 2).train()
    x = images(model)
    with mm.record(model) as rec:
        out = model(x)
        model.eval()(x)
    dropped, full = rec.forwards
    assert out.isfinite().all()
    assert sequence_lengths(dropped) == [7, 5, 3]
    assert all((layer.size.sum(1) == 9).all() and layer.source.shape == (2, 9) for layer in dropped)
    assert sequence_lengths(full) == [15, 13, 11]


def test_images_of_any_size():
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


def test_a_single_block_merges():
    model = mm.patch(tiny(depth=1, global_pool="avg"), ("decreasing", 3))
    with mm.record(model) as rec:
        assert model.forward_features(images(model)).shape[1] == 17
    assert sequence_lengths(rec.layers) == [14]


@pytest.mark.parametrize("order", [(0, 2), (1,), (2,), (0, 0, 2), (0, 1, 1), (1, 0)])
def test_blocks_out_of_order_are_refused(order):
    model = mm.patch(tiny(), 2)
    x = randn(2, 17, 48)

    def run():
        y = x
        for index in order:
            y = model.blocks[index](x if index == 0 else y)

    with pytest.raises(MergeMixError, match="must run in order, from the first one"):
        run()
    assert model(images(model)).shape == (2, 10)


@pytest.mark.parametrize("function", ["forward", "forward_features"])
def test_masks_are_refused(function):
    model = mm.patch(tiny(), 2)
    with pytest.raises(MergeMixError, match=r"^attn_mask: got one, wanted none"):
        getattr(model, function)(images(model), attn_mask=torch.zeros(17, 17))
    if "is_causal" in inspect.signature(VisionTransformer.forward).parameters:
        with pytest.raises(MergeMixError, match=r"^is_causal: got one, wanted none"):
            getattr(model, function)(images(model), is_causal=True)


def test_where_nothing_merges_a_mask_does_what_it_does():
    model, mask = tiny(), torch.zeros(17, 17).index_fill(1, torch.arange(9, 17), -torch.inf)
    wanted = model(images(model), attn_mask=mask)
    assert not torch.allclose(wanted, model(images(model)), rtol=1e-3)
    mm.patch(model, 0)
    assert torch.equal(model(images(model), attn_mask=mask), wanted)
    with mm.record(model), pytest.raises(MergeMixError, match=r"^attn_mask: got one, wanted none"):
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


# ---------------------------------------------------------------- intermediates


def merged_outputs(model, x):
    """What each block returns in a normal forward pass, and the source maps."""
    outputs = []
    handles = [block.register_forward_hook(lambda *args: outputs.append(args[2])) for block in model.blocks]
    with mm.record(model, attention=False) as rec, merging_state(model).during(recovering=False):
        model.forward_features(x)
    for handle in handles:
        handle.remove()
    return outputs, [layer.source for layer in rec.layers]


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize(
    "name", ["vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "vit_small_patch14_reg4_dinov2"]
)
def test_intermediates_hold_all_tokens(name, checkpointing):
    model = mm.patch(tiny(name), [3, 2, 1])
    x, prefix = images(model), model.num_prefix_tokens
    outputs, sources = merged_outputs(model, x)
    model.set_grad_checkpointing(checkpointing)
    final, layers = model.forward_intermediates(x, return_prefix_tokens=True, output_fmt="NLC")
    assert torch.equal(final, model.forward_features(x))
    for (patches, first), merged, source in zip(layers, outputs, sources, strict=True):
        assert torch.equal(torch.cat([first, patches], dim=1), recover(merged, source))
    grids = model.forward_intermediates(x, intermediates_only=True)
    for grid, (patches, _) in zip(grids, layers, strict=True):
        assert torch.equal(grid.flatten(2).mT, patches)
    some = model.forward_intermediates(x, indices=[0, 1], stop_early=True, intermediates_only=True)
    assert all(torch.equal(one, other) for one, other in zip(some, grids[:2], strict=True))
    assert prefix == first.shape[1]
    assert_holds_no_tensor(model)
    assert model(x).shape == (2, 10)


def test_get_intermediate_layers():
    model = mm.patch(tiny(), 3)
    x = images(model)
    _, wanted = model.forward_intermediates(x, norm=True, output_fmt="NLC")
    got = model.get_intermediate_layers(x, n=3, norm=True)
    assert all(torch.equal(one, other) for one, other in zip(got, wanted, strict=True))
    assert_holds_no_tensor(model)


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
def test_pruned_models(indices, patch_first):
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


def test_features_only():
    options = {"img_size": 64, "embed_dim": 48, "num_heads": 3, "depth": 3}
    model = timm.create_model("vit_tiny_patch16_224", features_only=True, out_indices=(0, 1), **options).eval()
    x = randn(2, 3, 64, 64)
    plain = model(x)
    assert mm.patch(model, 3) is model
    assert mm.merge_info(model).tokens == (17, 14, 11)
    merged = model(x)
    assert [f.shape for f in merged] == [f.shape for f in plain]
    assert not torch.equal(merged[1], plain[1])
    mm.unpatch(model)
    assert all(torch.equal(one, other) for one, other in zip(model(x), plain, strict=True))


def test_heads_and_sizes_can_be_changed_while_patched():
    model = mm.patch(tiny(), 3)
    model.reset_classifier(7, "avg")
    assert model(images(model)).shape == (2, 7)
    model.set_input_size((96, 96))
    assert mm.merge_info(model).tokens == (37, 34, 31, 28)
    with mm.record(model) as rec:
        model(randn(1, 3, 96, 96))
    assert sequence_lengths(rec.layers) == [34, 31, 28]


# ---------------------------------------------------------------- gradient checkpointing


def before(model):
    model.set_grad_checkpointing(True)
    return mm.patch(model, 3)


def after(model):
    mm.patch(model, 3).set_grad_checkpointing(True)
    return model


def directly(model):
    mm.patch(model, 3).grad_checkpointing = True
    return model


def by_hand_before(model):
    model.grad_checkpointing = True
    return mm.patch(model, 3)


def count_attention(model):
    calls = [0] * len(model.blocks)

    def count(index):
        def hook(*_):
            calls[index] += 1

        return hook

    for index, block in enumerate(model.blocks):
        block.attn.proj.register_forward_hook(count(index))
    return calls


@pytest.mark.parametrize("enable", [before, after, directly, by_hand_before])
@pytest.mark.parametrize("drop", [0.0, 0.2])
def test_checkpointing_recomputes_the_same_gradients(enable, drop):
    options = {"proj_drop_rate": drop, "attn_drop_rate": drop, "drop_path_rate": drop}
    plain = mm.patch(tiny(**options), 3).train()
    x = images(plain, batch=4)
    out, grads = backward(plain, x)
    model = enable(tiny(**options)).train()
    assert mm.merge_info(model).grad_checkpointing
    calls = count_attention(model)
    recomputed_out, recomputed = backward(model, x)
    assert calls == [2, 2, 2]
    assert torch.equal(out, recomputed_out)
    assert all(torch.equal(grads[name], recomputed[name]) for name in grads)
    with torch.no_grad():
        model(x)
    assert calls == [3, 3, 3]
    assert_holds_no_tensor(model)


def test_checkpointing_can_be_switched_off_again():
    model = before(tiny()).train()
    model.set_grad_checkpointing(False)
    calls = count_attention(model)
    backward(model, images(model))
    assert calls == [1, 1, 1]
    assert not mm.merge_info(model).grad_checkpointing


@pytest.mark.parametrize("enabled", [False, True])
def test_unpatch_hands_checkpointing_back_to_timm(enabled):
    model = tiny()
    model.set_grad_checkpointing(not enabled)
    mm.patch(model, 3).set_grad_checkpointing(enabled)
    mm.unpatch(model)
    assert model.grad_checkpointing is enabled
    calls = count_attention(model.train())
    backward(model, images(model))
    # timm leaves the last block as it is where checkpointing it would save nothing.
    assert calls[0] == 1 + enabled


def test_checkpointing_with_recorded_attention_and_autocast():
    model = after(tiny()).train()
    x = images(model)
    with mm.record(model) as rec, torch.autocast("cpu", dtype=torch.bfloat16):
        model(x).float().square().sum().backward()
    assert len(rec.forwards) == 1
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


# ---------------------------------------------------------------- attention


@pytest.mark.parametrize("build", BLOCKS.values(), ids=BLOCKS.keys())
@pytest.mark.parametrize("r", [0, 3])
def test_recorded_attention_is_the_attention_of_the_block(build, r):
    model = mm.patch(build(), r)
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


@pytest.mark.parametrize("head", [name for name in HEADS if name.startswith("map")])
def test_attention_of_the_pool(head, monkeypatch):
    model, seen = tiny(**HEADS[head]), []
    features = model.forward_features(images(model))
    entering = features if model.pool_include_prefix else features[:, model.num_prefix_tokens :]
    attend = F.scaled_dot_product_attention

    def spy(query, key, value, **options):
        seen.append((query @ key.mT * query.shape[-1] ** -0.5).softmax(-1))
        return attend(query, key, value, **options)

    monkeypatch.setattr(F, "scaled_dot_product_attention", spy)
    model.forward_head(features)
    wanted = seen[0].mean(1)[:, 0, -16:]
    torch.testing.assert_close(FAMILY.pool_attention(model, entering), wanted)
    assert FAMILY.pool(model) is model.attn_pool


def test_position_embeddings_of_the_pool_count():
    model = tiny(global_pool="map", class_token=False)
    x = randn(2, 16, 48)
    plain = FAMILY.pool_attention(model, x)
    model.attn_pool.pos_embed = torch.nn.Parameter(randn(16, 48, seed=1))
    wanted = FAMILY.pool_attention(model, x)
    assert not torch.equal(plain, wanted)
    x = x + model.attn_pool.pos_embed
    model.attn_pool.pos_embed = None
    torch.testing.assert_close(FAMILY.pool_attention(model, x), wanted)


def test_most_heads_have_no_pool():
    assert FAMILY.pool(tiny()) is None
    assert FAMILY.pool(tiny(global_pool="avg")) is None


# ---------------------------------------------------------------- what the family knows


@pytest.mark.parametrize(
    ("name", "prefix", "class_token"),
    [
        ("vit_tiny_patch16_224", 1, True),
        ("deit_tiny_distilled_patch16_224", 2, True),
        ("vit_small_patch14_reg4_dinov2", 5, True),
        ("vit_betwixt_patch16_reg4_gap_256", 4, False),
        ("vit_base_patch16_siglip_224", 0, False),
    ],
)
def test_prefix_tokens(name, prefix, class_token):
    model = tiny(name)
    assert FAMILY.prefix_tokens(model) == prefix
    assert FAMILY.has_class_token(model) is class_token
    assert model.forward_features(images(model)).shape[1] == prefix + 16


def test_sizes():
    fixed, dynamic = tiny(img_size=(64, 96)), tiny(dynamic_img_size=True, in_chans=5)
    assert FAMILY.default_size(fixed) == (64, 96)
    assert FAMILY.input_size(fixed, 30, 40) == (64, 96)
    assert FAMILY.input_size(dynamic, 30, 40) == (32, 48)
    assert FAMILY.grid_size(fixed, 64, 96) == (4, 6)
    assert FAMILY.grid_size(dynamic, 32, 48) == (2, 3)
    assert (FAMILY.in_channels(fixed), FAMILY.in_channels(dynamic)) == (3, 5)
    assert FAMILY.in_channels(tiny("vit_tiny_r_s16_p8_224", img_size=128, in_chans=4)) == 4
