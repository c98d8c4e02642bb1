"""In every family a merged token counts in the attention as the tokens that it stands for."""

from __future__ import annotations

import inspect

import pytest
import torch

import timm_mergemix as mm
from timm_mergemix.merge.blocks import Context

from ..reference import randn, relative_error
from .cases import (
    BUILDERS,
    WIDTH,
    blocks,
    each_case,
    features,
    images,
    output,
    patches_of,
    prefix_tokens,
    transformer,
)
from .watched import attentions, call_of, set_fused


def with_shared_positions(call, first, prefix):
    """The call with each patch rotated by the position of the first one of its cluster."""
    rows = first[prefix:] - prefix
    return {key: _shared(key, value, rows) for key, value in call.items()}


def _shared(key, value, rows):
    if isinstance(value, dict):
        return {inner: _shared(inner, each, rows) for inner, each in value.items()}
    if key == "position_embeddings":
        return tuple(part[..., rows, :] for part in value)
    return value[..., rows, :] if "rope" in key and value is not None else value


@pytest.mark.parametrize("fused", [True, False])
@each_case
def test_attention_over_merged_tokens_is_attention_over_repeated_ones(case, fused):
    model = mm.patch(BUILDERS[case](), 3)
    block, prefix = blocks(model)[1], prefix_tokens(model)
    for attn in attentions(block):
        set_fused(attn, fused)
    cluster = torch.tensor([0, 1, 1, 2, 3, 3, 3, 4, 5, 5, 1, 6, 7, 3, 8, 9] + [10, 11, 11, 12, 11] * 4)
    cluster = cluster[: patches_of(case)]
    source = torch.cat([torch.arange(prefix), prefix + cluster])
    size = source.bincount().float()
    first = torch.stack([(source == k).nonzero()[0, 0] for k in range(len(size))])
    call = with_shared_positions(call_of(model, block), first[source], prefix)
    x = randn(2, len(size), WIDTH)
    sizes, sources = size.expand(2, -1), source.expand(2, -1)
    with torch.no_grad():
        merged, keys = block.attention_branch(x, Context(sizes, sources, sizes.log()[:, None, None], call))
        projected = block.project_keys(x, Context(sizes, sources, None, call))
        repeated, wanted_keys = block.attention_branch(x[:, source], Context(None, None, None, call))
        without, _ = block.attention_branch(x, Context(sizes, sources, None, call))
        weights = block.weigh_attention(x, slice(0, 1), Context(sizes, sources, sizes.log()[:, None, None], call))
        wanted_weights = block.weigh_attention(x[:, source], slice(0, 1), Context(None, None, None, call))
    # A relative bias is that of the query, too: members of one token differ in it, tokens that are alone do not.
    exact = size == 1 if "rel_pos" in "".join(call) or "relpos" in case or "beit" in case else size > 0
    assert exact.sum() >= 2
    assert relative_error(merged[:, exact], repeated[:, first][:, exact]) <= 2e-5
    torch.testing.assert_close(keys, wanted_keys[:, first], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(projected, keys, rtol=1e-4, atol=1e-5)
    assert relative_error(without[:, exact], repeated[:, first][:, exact]) > 1e-3
    if "differential" not in case:  # a negative sum of members counts as none, a negative member too
        summed = torch.zeros_like(weights).index_add(3, source, wanted_weights)
        torch.testing.assert_close(weights, summed, rtol=1e-4, atol=1e-6)


ABSOLUTE = ("pos_embed", "pos_embedding", "pos_embed_x", "pos_embed_y", "position_embedding_table")
ABSOLUTE += ("position_embeddings", "position_embedding.weight")


def flatten_positions(model, relative):
    """Makes all absolute positions alike, and relative ones on request, but for those of prefix tokens."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            leaf = name.rsplit(".", 1)[-1]
            if leaf in ABSOLUTE or name.endswith(ABSOLUTE):
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


def merged_and_not(model, case, block=0, run=output):
    """Output with all pairs merged in one block, without the log-size bias too, and of the unmerged model."""
    x, pairs = images_of_pairs(model, case), [0, 0, 0]
    pairs[block] = patches_of(case) // 2
    with torch.no_grad():
        with mm.merging(model, pairs), mm.record(model, attention=False) as rec:
            merged = run(model, x)
        with mm.merging(model, pairs, prop_attn=False):
            without = run(model, x)
        unmerged = run(model, x)
    source = rec.layers[block].source[:, prefix_tokens(model) :].unflatten(1, (-1, 2))
    assert (source[..., 0] == source[..., 1]).all()
    return merged, without, unmerged


# The convolutions of the hybrid see over the edges of patches, so that no two are identical.
each_patchwise = pytest.mark.parametrize("case", [case for case in BUILDERS if case != "hybrid"])


@pytest.mark.parametrize("block", [0, 1])
@each_patchwise
def test_an_image_of_identical_pairs_is_the_same_merged_and_unmerged(case, block):
    model = mm.patch(BUILDERS[case](), 0)
    flatten_positions(model, relative=True)
    share_positions(model, case)
    merged, without, unmerged = merged_and_not(model, case, block)
    assert relative_error(merged, unmerged) <= 2e-5
    if prefix_tokens(model) or case == "cait":  # among tokens of one size, the bias changes nothing
        assert relative_error(without, unmerged) > 1e-4
    if case != "torchvision":
        merged, _, unmerged = merged_and_not(model, case, block, lambda model, x: features(transformer(model), x))
        assert relative_error(merged, unmerged) <= 2e-5


# The table in docs/design.md. Gemma's logits are not scaled down, so that its softmax is sharp. What
# transformers' DINOv3 gives is its tokens, those of timm's is logits.
ERRORS = {
    "hf dinov3": 0.1,
    "gemma": 0.6,
    "deepseek": 3e-2,
    "qwen3": 3e-2,
    "relpos": 3e-3,
    "beit": 1e-3,
    "rope": 2e-2,
    "dinov3": 2e-2,
}
ERRORS |= {"eva02": 2e-2, "perception": 2e-2}


@each_patchwise
def test_pairs_at_two_positions_differ_by_no_more_than_is_documented(case):
    model = mm.patch(BUILDERS[case](), 0)
    flatten_positions(model, relative=False)
    merged, _, unmerged = merged_and_not(model, case)
    bound = next((bound for part, bound in ERRORS.items() if part in case and case != "beit, no bias"), None)
    error = relative_error(merged, unmerged)
    assert error <= 2e-5 if bound is None else 1e-4 < error <= bound
