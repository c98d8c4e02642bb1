"""A saliency pass gives the attention that the encoder computes, on the grid of patches."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import timm_mergemix as mm
from timm_mergemix import MergeMixError, saliency_map
from timm_mergemix.merge.find.search import find_backbone
from timm_mergemix.saliency.passes import _on_grid

from ..merge.families.cases import WIDTH, build
from ..mix.batches import noise, quick
from ..models import images, tiny, tiny_torchvision
from .states import CLASS_TOKEN, NO_CLASS_TOKEN


@torch.no_grad()
def entering(model: nn.Module, x: Tensor, layer: int) -> Tensor:
    """What enters a block of an unpatched model: the model runs as a whole, a hook looks."""
    seen: list[Tensor] = []
    with model.blocks[layer].register_forward_pre_hook(lambda module, args: seen.append(args[0])):
        model(x)
    return seen[0]


@torch.no_grad()
def attention_of(model: nn.Module, x: Tensor, layer: int) -> Tensor:
    """(B, N, N) attention of a block on tokens x, mean over heads, written out."""
    block, (batch, length, width) = model.blocks[layer], x.shape
    heads = block.attn.num_heads
    qkv = block.attn.qkv(block.norm1(x)).view(batch, length, 3, heads, width // heads)
    query = block.attn.q_norm(qkv[:, :, 0].transpose(1, 2))
    key = block.attn.k_norm(qkv[:, :, 1].transpose(1, 2))
    logits = torch.einsum("bhqd,bhkd->bhqk", query, key) / (width // heads) ** 0.5
    return logits.softmax(-1).mean(1)


def normalised(attention: Tensor, rows: int, columns: int) -> Tensor:
    return (attention / attention.sum(1, keepdim=True)).view(-1, rows, columns)


@pytest.mark.parametrize("name", CLASS_TOKEN)
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_the_map_is_the_attention_of_the_class_token(name: str, layer: int) -> None:
    model = build(name)
    x = images(model, 3)
    row = attention_of(model, entering(model, x, layer), layer)[:, 0]
    torch.testing.assert_close(saliency_map(model, x, layer), normalised(row[:, model.num_prefix_tokens :], 4, 4))


@pytest.mark.parametrize("name", NO_CLASS_TOKEN)
@pytest.mark.parametrize("layer", [0, 2])
def test_without_a_class_token_the_map_is_the_attention_that_patches_receive(name: str, layer: int) -> None:
    model = build(name)
    x = images(model, 3)
    prefix = model.num_prefix_tokens
    received = attention_of(model, entering(model, x, layer), layer)[:, prefix:].mean(1)
    torch.testing.assert_close(saliency_map(model, x, layer), normalised(received[:, prefix:], 4, 4))


@pytest.mark.parametrize("layer", [0, 2])
def test_the_map_of_a_torchvision_model_is_its_attention(layer: int) -> None:
    model = tiny_torchvision()
    x = images(model)
    block = model.encoder.layers[layer]
    seen: list[Tensor] = []
    with torch.no_grad(), block.register_forward_pre_hook(lambda module, args: seen.append(args[0])):
        model(x)
    with torch.no_grad():
        tokens = block.ln_1(seen[0])
        weights = block.self_attention(tokens, tokens, tokens, need_weights=True)[1]
    torch.testing.assert_close(saliency_map(model, x, layer), normalised(weights[:, 0, 1:], 4, 4), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["attention pool"])
@pytest.mark.parametrize("r", [0, 3])
def test_the_map_of_the_pool_is_the_attention_of_the_pool(name: str, r: int) -> None:
    model = build(name)
    x = images(model, 3)
    pool = model.attn_pool
    seen: list[Tensor] = []
    with torch.no_grad(), mm.merging(model, r), pool.register_forward_pre_hook(lambda _, args: seen.append(args[0])):
        model(x)
    with torch.no_grad():
        tokens, heads = seen[0], pool.num_heads
        if pool.pos_embed is not None:
            tokens = tokens + pool.pos_embed
        query = pool.q_norm(pool.q(pool.latent).view(1, heads, 1, -1))
        key = pool.k_norm(pool.kv(tokens)[..., :WIDTH].view(3, -1, heads, WIDTH // heads).transpose(1, 2))
        weights = torch.einsum("bhqd,bhkd->bhqk", query.expand(3, -1, -1, -1), key) / (WIDTH // heads) ** 0.5
    wanted = weights.softmax(-1).mean(1)[:, 0]
    torch.testing.assert_close(saliency_map(model, x, "pool", r), normalised(wanted, 4, 4))


@pytest.mark.parametrize("name", [*CLASS_TOKEN, *NO_CLASS_TOKEN])
@pytest.mark.parametrize("r", [2, [3, 4, 0]])
def test_merged_tokens_count_as_their_duplicates(name: str, r: object) -> None:
    """With the log-size bias and the division, a merged token is as good as the same token repeated."""
    model = build(name)
    x = images(model, 3)
    prefix, layer = model.num_prefix_tokens, 2
    seen: list[Tensor] = []
    with mm.merging(model, r):
        with mm.record(model, attention=False) as recording, torch.no_grad():
            model(x)
        source, size = recording.layers[layer - 1].source, recording.layers[layer - 1].size
        with model.blocks[layer].register_forward_pre_hook(lambda module, args: seen.append(args[0])), torch.no_grad():
            model(x)
    assert size.max() > 1
    repeated = seen[0].gather(1, source.unsqueeze(-1).expand(-1, -1, WIDTH))
    attention = attention_of(model, repeated, layer)
    row = attention[:, 0] if model.has_class_token else attention[:, prefix:].mean(1)
    wanted = normalised(row[:, prefix:], 4, 4)
    torch.testing.assert_close(saliency_map(model, x, layer, r), wanted)
    copied = row[:, prefix:] * size.gather(1, source)[:, prefix:]
    torch.testing.assert_close(saliency_map(model, x, layer, r, divide=False), normalised(copied, 4, 4))


@settings(quick, max_examples=25)
@given(st.integers(1, 4), st.integers(-3, 2), st.sampled_from([None, 0, 2, 5, ("keep", 0.5), ("total", 7)]))
def test_maps_sum_to_1(batch: int, layer: int, r: object) -> None:
    model = MODEL
    saliency = saliency_map(model, images(model, batch), layer, r)
    assert saliency.shape == (batch, 4, 4)
    assert saliency.dtype == torch.float32
    assert not saliency.requires_grad
    assert (saliency > 0).all()
    torch.testing.assert_close(saliency.sum((1, 2)), torch.ones(batch))


MODEL = tiny()


def test_layers_count_from_both_ends() -> None:
    x = images(MODEL)
    for layer in range(3):
        assert torch.equal(saliency_map(MODEL, x, layer), saliency_map(MODEL, x, layer - 3))
    assert torch.equal(saliency_map(MODEL, x), saliency_map(MODEL, x, 1))
    shallow = tiny(depth=1)
    assert torch.equal(saliency_map(shallow, x), saliency_map(shallow, x, 0))


def test_a_patch_that_changes_changes_its_own_share() -> None:
    """In block 0 a key is made of its patch alone: one patch changes its share, and no proportion of the others."""
    model = tiny(dynamic_img_size=True, num_heads=1)
    x = noise(1, 3, 32, 96)
    before = saliency_map(model, x, 0)
    assert before.shape == (1, 2, 6)
    for row, column in ((0, 0), (0, 5), (1, 0), (1, 4)):
        changed = x.clone()
        changed[:, :, 16 * row : 16 * (row + 1), 16 * column : 16 * (column + 1)] += 3
        factor = (saliency_map(model, changed, 0) / before).flatten()
        here = row * 6 + column
        others = torch.cat([factor[:here], factor[here + 1 :]])
        torch.testing.assert_close(others, others[:1].expand_as(others), rtol=1e-4, atol=0)
        assert abs(factor[here] / others[0] - 1) > 1e-2


def test_a_wrapped_encoder_is_found_unless_the_wrapper_adds_something() -> None:
    for wrapper in (torch.compile(MODEL, backend="eager"), nn.DataParallel(MODEL)):
        assert torch.equal(saliency_map(wrapper, images(MODEL)), saliency_map(MODEL, images(MODEL)))
    with pytest.raises(MergeMixError, match="encoder: got a module of class Sequential, wanted the VisionTransformer"):
        saliency_map(nn.Sequential(nn.Identity(), tiny()), images(MODEL))


def test_a_map_without_any_attention_prefers_no_patch() -> None:
    x = images(MODEL)
    attention = torch.zeros(2, 16)
    attention[1, 3] = 0.5
    maps = _on_grid(find_backbone(MODEL), attention, x).flatten(1)
    assert torch.equal(maps[0], torch.full((16,), 1 / 16)) and torch.equal(maps[1], 2 * attention[1])


def test_attention_is_proportional_whatever_the_patch_says() -> None:
    encoder = tiny()
    x = images(encoder)
    expected = mm.saliency_map(mm.patch(encoder, r=4), x)
    mm.patch(encoder, r=4, prop_attn=False)
    torch.testing.assert_close(mm.saliency_map(encoder, x), expected, rtol=0, atol=0)
    assert mm.merge_info(encoder).prop_attn is False
