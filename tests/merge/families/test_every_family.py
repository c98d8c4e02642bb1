"""What holds for every family and every option that changes what merging must do."""

from __future__ import annotations

import inspect

import pytest
import torch

import timm_mergemix as mm
from timm_mergemix.merge.blocks import Context

from ..reference import randn, relative_error, sequence_lengths
from .cases import BUILDERS, blocks, each_case, images, prefix_tokens, transformer


def bfloat16(model, x):
    with torch.autocast("cpu", torch.bfloat16):
        return model(x)


def patches_of(case):
    return 36 if case.startswith("gemma") else 16


@each_case
def test_r0_is_the_model_itself_and_unpatch_restores_it(case):
    model = BUILDERS[case]()
    before = {key: (type(module), dict(module.__dict__)) for key, module in model.named_modules()}
    x = images(model)
    plain, mixed = model(x), bfloat16(model, x)
    mm.patch(model, 0)
    assert torch.equal(model(x), plain)
    assert torch.equal(bfloat16(model, x), mixed)
    mm.patch(model, 3)
    assert not torch.allclose(model(x), plain, rtol=1e-3)
    mm.unpatch(model)
    assert torch.equal(model(x), plain)
    assert torch.equal(bfloat16(model, x), mixed)
    assert before == {key: (type(module), dict(module.__dict__)) for key, module in model.named_modules()}


@each_case
def test_tokens_per_layer_and_gradients(case):
    model = BUILDERS[case]()
    x = images(model)
    model(x).square().sum().backward()
    trained = {key for key, parameter in model.named_parameters() if parameter.grad is not None}
    model.zero_grad()
    mm.patch(model, 3)
    with mm.record(model) as rec:
        out = model(x)
    start = rec.layers[0].source.shape[1]
    assert start == prefix_tokens(model) + patches_of(case)
    assert sequence_lengths(rec.layers) == [start - 3, start - 6, start - 9]
    assert mm.merge_info(model, x.shape[2:]).tokens == (start, start - 3, start - 6, start - 9)
    out.square().sum().backward()
    grads = {key: parameter.grad for key, parameter in model.named_parameters() if parameter.grad is not None}
    assert set(grads) == trained
    assert all(grad.isfinite().all() for grad in grads.values())


@each_case
def test_checkpointing_changes_no_gradient(case):
    if case == "torchvision":
        pytest.skip("torchvision's models have no switch for it")
    model = mm.patch(BUILDERS[case](), 3).train()
    x = images(model)
    results = []
    for enable in (False, True):
        model.zero_grad()
        model.set_grad_checkpointing(enable)
        torch.manual_seed(0)  # the MLP of a relative position bias has dropout
        model(x).square().sum().backward()
        results.append([parameter.grad for parameter in model.parameters() if parameter.grad is not None])
    assert mm.merge_info(model, x.shape[2:]).grad_checkpointing
    assert len(results[0]) > 10
    assert all(torch.equal(plain, recomputed) for plain, recomputed in zip(*results, strict=True))


@each_case
def test_all_tokens_come_back(case):
    if case == "torchvision":
        pytest.skip("torchvision's models give no intermediates")
    model = transformer(BUILDERS[case]())
    x = images(model)
    plain = model.forward_features(x)
    layers = model.forward_intermediates(x, intermediates_only=True)
    mm.patch(model, 3)
    assert model.forward_features(x).shape == plain.shape
    merged = model.forward_intermediates(x, intermediates_only=True)
    assert [layer.shape for layer in merged] == [layer.shape for layer in layers]
    mm.patch(model, 0)
    assert all(map(torch.equal, model.forward_intermediates(x, intermediates_only=True), layers))


def attentions(block):
    parts = block.attns if hasattr(block, "attns") else [block]
    return [getattr(part, "attn", part) for part in parts]


def softmaxes(model, block, x):
    """Attention of a block as timm computes it, (B, H, N, N), read at the attention's dropout."""
    seen = []
    for attn in attentions(block):
        attn.fused_attn = False
        if hasattr(attn, "proj_w"):  # talking heads: the softmax goes into the second mixing, its heads last
            attn.proj_w.register_forward_hook(lambda module, args, out: seen.append(args[0].permute(0, 3, 1, 2)))
        else:
            attn.attn_drop.register_forward_hook(lambda module, args, out: seen.append(args[0].detach()))
    with torch.no_grad():
        model(x)
    attention, attn = torch.cat(seen, dim=1), attentions(block)[0]
    if hasattr(attn, "_compute_lambda"):
        pairs = attention.unflatten(1, (-1, 2))
        attention = pairs[:, :, 0] - attn._compute_lambda().item() * pairs[:, :, 1]
    return attention.clamp_min(0)


@each_case
def test_saliency_is_the_attention_that_timm_computes(case):
    if case == "torchvision":
        pytest.skip("torch's attention does not show its weights; see test_torchvision_vit.py")
    model, prefix = BUILDERS[case](), prefix_tokens(BUILDERS[case]())
    x = images(model)
    attention = softmaxes(model, blocks(model)[1], x).mean(dim=1)
    has_class_token = getattr(transformer(model), "cls_token", None) is not None or (
        hasattr(model, "embeds") and model.embeds.cls_token is not None
    )
    row = attention[:, 0, prefix:] if has_class_token and prefix else attention[:, prefix:, prefix:].mean(dim=1)
    row = row / row.sum(dim=1, keepdim=True)
    torch.testing.assert_close(mm.saliency_map(model, x, layer=1).flatten(1), row, rtol=1e-4, atol=1e-6)


def call_of(model, block):
    """What the model passes to a block beside the tokens."""
    calls = []
    handle = block.register_forward_pre_hook(
        lambda module, args, kwargs: calls.append((args, kwargs)), with_kwargs=True
    )
    with torch.no_grad(), mm.merging(model, 0):
        model(images(model, batch=1))
    handle.remove()
    args, kwargs = calls[0]
    call = inspect.signature(block.forward).bind(*args, **kwargs).arguments
    call = {"rope": None} | call if "rope" in inspect.signature(block.forward).parameters else call
    return {key: value for key, value in call.items() if key != "x" and key != "input"}


def with_shared_positions(call, first, prefix):
    """The call with each patch rotated by the position of the first one of its cluster."""
    rows = first[prefix:] - prefix
    return {key: value[..., rows, :] if "rope" in key and value is not None else value for key, value in call.items()}


@pytest.mark.parametrize("fused", [True, False])
@each_case
def test_attention_over_merged_tokens_is_attention_over_repeated_ones(case, fused):
    model = mm.patch(BUILDERS[case](), 3)
    block, prefix = blocks(model)[1], prefix_tokens(model)
    for attn in attentions(block):
        attn.fused_attn = fused
    cluster = torch.tensor([0, 1, 1, 2, 3, 3, 3, 4, 5, 5, 1, 6, 7, 3, 8, 9] + [10, 11, 11, 12, 11] * 4)
    cluster = cluster[: patches_of(case)]
    source = torch.cat([torch.arange(prefix), prefix + cluster])
    size = source.bincount().float()
    first = torch.stack([(source == k).nonzero()[0, 0] for k in range(len(size))])
    call = with_shared_positions(call_of(model, block), first[source], prefix)
    x = randn(2, len(size), 48 if case == "torchvision" else 96)
    sizes, sources = size.expand(2, -1), source.expand(2, -1)
    with torch.no_grad():
        merged, keys = block.attention_branch(x, Context(sizes, sources, sizes.log()[:, None, None], call))
        repeated, wanted_keys = block.attention_branch(x[:, source], Context(None, None, None, call))
        without, _ = block.attention_branch(x, Context(sizes, sources, None, call))
        weights = block.attention(x, slice(0, 1), Context(sizes, sources, sizes.log()[:, None, None], call))
        wanted_weights = block.attention(x[:, source], slice(0, 1), Context(None, None, None, call))
    # A relative bias is that of the query, too: members of one token differ in it, tokens that are alone do not.
    exact = size == 1 if "rel_pos" in "".join(call) or "relpos" in case or "beit" in case else size > 0
    assert exact.sum() >= 2
    assert relative_error(merged[:, exact], repeated[:, first][:, exact]) <= 2e-5
    torch.testing.assert_close(keys, wanted_keys[:, first], rtol=1e-5, atol=1e-5)
    assert relative_error(without[:, exact], repeated[:, first][:, exact]) > 1e-3
    if "differential" not in case:  # a negative sum of members counts as none, a negative member too
        summed = torch.zeros_like(weights).index_add(3, source, wanted_weights)
        torch.testing.assert_close(weights, summed, rtol=1e-4, atol=1e-6)


ABSOLUTE = ("pos_embed", "pos_embedding", "pos_embed_x", "pos_embed_y", "position_embedding_table")


def flatten_positions(model, relative):
    """Makes all absolute positions alike, and relative ones on request, but for those of prefix tokens."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            leaf = name.rsplit(".", 1)[-1]
            if leaf in ABSOLUTE:
                parameter.copy_(parameter.flatten(0, -2)[-1].expand_as(parameter))
            elif relative and leaf == "relative_position_bias_table":
                parameter[: len(parameter) - 3 * prefix_tokens(model)] = parameter[:1]
            elif relative and "rel_pos.mlp." in name:
                parameter.zero_()


def images_of_pairs(model, case):
    """Images whose columns of patches come in identical pairs."""
    x = images(model)
    columns = x.split(x.shape[3] // int(patches_of(case) ** 0.5), dim=3)
    return torch.cat([columns[i // 2 * 2] for i in range(len(columns))], dim=3)


def share_positions(model, case):
    """Has each pair rotated by the position of its first patch, merged or not."""
    prefix = prefix_tokens(model)
    rows = torch.cat([torch.arange(prefix), prefix + torch.arange(patches_of(case)) // 2 * 2])

    def hook(module, args, kwargs):
        bound = inspect.signature(module.forward).bind(*args, **kwargs)
        bound.arguments.update(with_shared_positions(dict(bound.arguments), rows, prefix))
        return bound.args, bound.kwargs

    for block in blocks(model):
        block.register_forward_pre_hook(hook, with_kwargs=True)


def merged_and_not(model, case):
    """Output with all pairs merged in the first block, without the log-size bias too, and of the unmerged model."""
    x, pairs = images_of_pairs(model, case), [patches_of(case) // 2, 0, 0]
    with torch.no_grad():
        with mm.merging(model, pairs), mm.record(model, attention=False) as rec:
            merged = model(x)
        with mm.merging(model, pairs, prop_attn=False):
            without = model(x)
        unmerged = model(x)
    source = rec.layers[0].source[:, prefix_tokens(model) :].unflatten(1, (-1, 2))
    assert (source[..., 0] == source[..., 1]).all()
    return merged, without, unmerged


OVERLAPPING = pytest.mark.skip("its convolutions see over the edges of patches, so no two are identical")
each_patchwise = pytest.mark.parametrize(
    "case", [pytest.param(case, marks=OVERLAPPING if case == "hybrid" else ()) for case in BUILDERS]
)


@each_patchwise
def test_an_image_of_identical_pairs_is_the_same_merged_and_unmerged(case):
    model = mm.patch(BUILDERS[case](), 0)
    flatten_positions(model, relative=True)
    share_positions(model, case)
    merged, without, unmerged = merged_and_not(model, case)
    assert relative_error(merged, unmerged) <= 2e-5
    if prefix_tokens(model) or case == "cait":  # among tokens of one size, the bias changes nothing
        assert relative_error(without, unmerged) > 1e-4


# The table in docs/design.md. Gemma's logits are not scaled down, so that its softmax is sharp.
ERRORS = {"gemma": 0.6, "deepseek": 3e-2, "qwen3": 3e-2, "relpos": 3e-3, "beit": 1e-3, "rope": 2e-2, "dinov3": 2e-2}
ERRORS |= {"eva02": 2e-2, "perception": 2e-2}


@each_patchwise
def test_pairs_at_two_positions_differ_by_no_more_than_is_documented(case):
    model = mm.patch(BUILDERS[case](), 0)
    flatten_positions(model, relative=False)
    merged, _, unmerged = merged_and_not(model, case)
    bound = next((bound for part, bound in ERRORS.items() if part in case and case != "beit, no bias"), None)
    error = relative_error(merged, unmerged)
    assert error <= 2e-5 if bound is None else 1e-4 < error <= bound


# One for each way in which a block is built; a compilation takes seconds.
COMPILED = [
    "vit",
    "post-norm",
    "parallel things",
    "parallel scaling",
    "differential",
    "differential, parallel",
    "eva02",
]
COMPILED += ["rope, mixed", "dinov3", "beit", "beit, shared bias", "relpos", "cait", "naflex, mixed rope", "deepseek"]
COMPILED += ["qwen3", "gemma4", "torchvision"]


@pytest.mark.parametrize("case", [case for case in COMPILED if case in BUILDERS])
def test_compiles_to_one_graph(case):
    torch._dynamo.reset()
    model = mm.patch(BUILDERS[case](), 3)
    x = images(model)
    torch.testing.assert_close(torch.compile(model, backend="eager", fullgraph=True)(x), model(x))


class Adapted(torch.nn.Module):
    """A projection with an adapter around it, as low-rank adaptation makes it."""

    def __init__(self, base):
        super().__init__()
        self.base = base
        self.more = torch.nn.Linear(base.in_features, base.out_features, bias=False)

    weight = property(lambda self: self.base.weight)
    bias = property(lambda self: self.base.bias)
    in_features = property(lambda self: self.base.in_features)
    out_features = property(lambda self: self.base.out_features)

    def forward(self, x):
        return self.base(x) + self.more(x)


@pytest.mark.parametrize("case", [c for c in ("vit", "rope", "cait", "qwen3", "deepseek", "relpos") if c in BUILDERS])
def test_keys_and_saliency_are_those_of_a_wrapped_projection(case):
    model = BUILDERS[case]()
    for block in blocks(model):
        block.attn.qkv = Adapted(block.attn.qkv)
    x = images(model)
    prefix = prefix_tokens(model)
    attention = softmaxes(model, blocks(model)[1], x).mean(dim=1)
    row = attention[:, 0, prefix:] if case in ("vit", "rope") else attention[:, prefix:, prefix:].mean(dim=1)
    row = row / row.sum(dim=1, keepdim=True)
    torch.testing.assert_close(mm.saliency_map(model, x, layer=1).flatten(1), row, rtol=1e-4, atol=1e-6)
    mm.patch(model, 3)
    block, tokens = blocks(model)[0], randn(2, 16 + prefix, 96)
    call = call_of(model, block)
    keys = block.attention_branch(tokens, Context(None, None, None, call))[1]
    torch.testing.assert_close(keys, block.project_keys(tokens, Context(None, None, None, call)), rtol=1e-4, atol=1e-5)


@each_case
def test_saliency_of_the_pool_is_the_pools_own_attention(case):
    model = BUILDERS[case]()
    pool = getattr(transformer(model), "attn_pool", None)
    if pool is None and case == "cait":  # what its class attention is, says a test of its own
        saliency = mm.saliency_map(model, images(model), layer="pool")
        torch.testing.assert_close(saliency.sum(dim=(1, 2)), torch.ones(len(saliency)))
        return
    if pool is None:
        with pytest.raises(mm.MergeMixError, match=r"^layer: got 'pool', .* no attention pool"):
            mm.saliency_map(model, images(model), layer="pool")
        return
    seen = []
    pool.fused_attn = False
    pool.attn_drop = torch.nn.Identity()
    softmax = torch.Tensor.softmax
    x, prefix = images(model), prefix_tokens(model)
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(torch.Tensor, "softmax", lambda self, *a, **k: seen.append(softmax(self, *a, **k)) or seen[-1])
        model(x)
    row = seen[-1].mean(dim=(1, 2))[:, -16:]
    wanted = row / row.sum(dim=1, keepdim=True)
    torch.testing.assert_close(mm.saliency_map(model, x, layer="pool").flatten(1), wanted, rtol=1e-4, atol=1e-6)
    assert prefix + 16 >= seen[-1].shape[-1] >= 16


@pytest.mark.parametrize("case", ["vit", "beit", "relpos", "cait", "rope"])
def test_saliency_in_double_precision(case):
    model = BUILDERS[case]().double()
    saliency = mm.saliency_map(mm.patch(model, 3), images(model).double())
    torch.testing.assert_close(saliency.sum(dim=(1, 2)), torch.ones(2))


@pytest.mark.parametrize("case", ["vit", "rope", "beit"])
def test_a_model_that_lost_its_last_blocks_still_gives_all_tokens(case):
    model = mm.patch(BUILDERS[case](), 3)
    model.blocks = model.blocks[:2]
    assert model.forward_features(images(model)).shape[1] == prefix_tokens(model) + 16


def test_the_class_attention_of_cait():
    model = BUILDERS["cait"]()
    x, attn = images(model), model.blocks_token_only[-1].attn
    attn.fused_attn, seen = False, []
    attn.attn_drop.register_forward_hook(lambda module, args, out: seen.append(args[0].detach()))
    model(x)
    row = seen[0].mean(dim=(1, 2))[:, 1:]
    wanted = row / row.sum(dim=1, keepdim=True)
    torch.testing.assert_close(mm.saliency_map(model, x, layer="pool").flatten(1), wanted, rtol=1e-4, atol=1e-6)
