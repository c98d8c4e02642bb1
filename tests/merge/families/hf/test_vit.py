"""ViT of transformers is timm's with other names, merged too; masked images, and heads."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import timm_mergemix as mm

from ....models import tiny
from ...reference import relative_error
from .timms import load_layers
from .tiny import build, needs_transformers

pytestmark = needs_transformers


def pair():
    """timm's model, and transformers' with the same weights; both of float64."""
    timms = tiny("vit_tiny_patch16_224", embed_dim=96, num_heads=4, mlp_ratio=2.0).double()
    ours = build("hf vit", layer_norm_eps=1e-6).double()
    names = {"norm1": "layernorm_before", "norm2": "layernorm_after"}
    load_layers(ours.layers, timms.blocks, names)
    with torch.no_grad():
        ours.embeddings.cls_token.copy_(timms.cls_token)
        ours.embeddings.position_embeddings.copy_(timms.pos_embed)
    ours.embeddings.patch_embeddings.projection.load_state_dict(timms.patch_embed.proj.state_dict())
    ours.layernorm.load_state_dict(timms.norm.state_dict())
    return timms, ours


@pytest.mark.parametrize("r", [0, 3])
def test_its_tokens_are_those_of_timms_model(r):
    timms, ours = pair()
    mm.patch(timms, r)
    mm.patch(ours, r)
    x = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        wanted = timms.forward_intermediates(x, intermediates_only=True, norm=False, output_fmt="NLC")
        got = ours(x, output_hidden_states=True)
        assert relative_error(got.last_hidden_state, timms.forward_features(x)) <= 1e-9
    for ours_after, timms_after in zip(got.hidden_states[1:], wanted, strict=True):
        assert relative_error(ours_after[:, 1:], timms_after) <= 1e-9
    if r:
        assert len(got.last_hidden_state[0].round(decimals=9).unique(dim=0)) == 17 - 3 * r


def test_their_saliency_is_the_same():
    timms, ours = pair()
    x = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    torch.testing.assert_close(mm.saliency_map(ours, x, r=3), mm.saliency_map(timms, x, r=3))


def test_a_head_reads_the_class_token_and_training_goes_on():
    model = mm.patch(build("hf vit, classes").train(), 3)
    out = model(torch.rand(2, 3, 64, 64), labels=torch.tensor([1, 2]))
    out.loss.backward()
    hidden = model.vit(torch.rand(2, 3, 64, 64)).last_hidden_state
    assert hidden.shape == (2, 17, 96) and out.logits.shape == (2, 10)
    assert model.classifier.weight.grad.any() and model.vit.layers[0].attention.k_proj.weight.grad.any()


def test_masked_image_modelling_gets_all_tokens():
    import transformers

    config = build("hf vit").config
    config.encoder_stride = 16
    model = mm.patch(transformers.ViTForMaskedImageModeling(config).eval(), 3)
    masked = torch.zeros(2, 16, dtype=torch.bool)
    masked[:, ::2] = True
    out = model(torch.rand(2, 3, 64, 64), bool_masked_pos=masked)
    assert out.reconstruction.shape == (2, 3, 64, 64)


def test_there_may_be_no_pooler_and_no_bias():
    import transformers

    config = build("hf vit", qkv_bias=False).config
    model = mm.patch(transformers.ViTModel(config, add_pooling_layer=False).eval(), 3)
    assert model(torch.rand(2, 3, 64, 64)).pooler_output is None
    assert isinstance(model.layers[0].attention.k_proj, nn.Linear) and model.layers[0].attention.k_proj.bias is None
