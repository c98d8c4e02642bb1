"""DINOv3 of transformers: a merged token is rotated by the mean of its patches' sines and cosines."""

from __future__ import annotations

import pytest
import torch

import timm_mergemix as mm
from timm_mergemix.merge.blocks import Context

from ...reference import randn
from ..watched import call_of
from .tiny import build, layers, needs_transformers, set_checkpointing

pytestmark = needs_transformers


@pytest.mark.parametrize("case", ["hf dinov3", "hf dinov3, no register"])
def test_a_merged_token_has_the_mean_of_its_patches_positions(case):
    model = mm.patch(build(case), 3)
    layer, prefix = layers(model)[1], 1 + model.config.num_register_tokens
    call = call_of(model, layer)
    cos, sin = call["position_embeddings"]
    cluster = torch.tensor([0, 1, 1, 2, 3, 3, 3, 4, 5, 5, 1, 6, 7, 3, 8, 9])
    source = torch.cat([torch.arange(prefix), prefix + cluster]).expand(2, -1)
    size = source[0].bincount().float().expand(2, -1)
    query = key = randn(2, 4, size.shape[1], 24)
    rotated, _ = layer.rotate(query, key, Context(size, source, size.log()[:, None, None], call))
    assert torch.equal(rotated[:, :, :prefix], query[:, :, :prefix])
    for token in range(10):
        half = query[:, :, prefix + token]
        turned = torch.cat([-half[..., 12:], half[..., :12]], dim=-1)
        members = cluster == token
        wanted = half * cos[members].mean(dim=0) + turned * sin[members].mean(dim=0)
        torch.testing.assert_close(rotated[:, :, prefix + token], wanted)


def test_positions_that_training_augments_are_one_draw_for_a_pass_and_its_checkpoints():
    model, x = (
        mm.patch(build("hf dinov3", pos_embed_rescale=2.0, pos_embed_jitter=1.5).train(), 3),
        torch.rand(2, 3, 64, 64),
    )
    grads = []
    for enable in (False, True):
        model.zero_grad()
        set_checkpointing(model, enable)
        torch.manual_seed(0)
        model(x).last_hidden_state.square().sum().backward()
        grads.append(layers(model)[0].attention.q_proj.weight.grad)
    assert torch.equal(*grads)
    assert not torch.equal(model(x).last_hidden_state, model(x).last_hidden_state)


def test_images_of_other_shapes_have_their_own_positions():
    model = build("hf dinov3")
    x = torch.rand(2, 3, 96, 48)
    with torch.no_grad():
        plain = model(x).last_hidden_state
        assert torch.equal(mm.patch(model, 0)(x).last_hidden_state, plain)
        assert mm.patch(model, 2)(x).last_hidden_state.shape == (2, 5 + 18, 96)
    assert mm.saliency_map(model, x).shape == (2, 6, 3)


def test_bfloat16_merges():
    model = mm.patch(build("hf dinov3").bfloat16(), 3)
    out = model(torch.rand(2, 3, 64, 64)).last_hidden_state
    assert out.dtype is torch.bfloat16 and out.isfinite().all()
