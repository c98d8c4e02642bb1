"""DINOv2 of transformers is timm's with other names, merged too, at all image sizes."""

from __future__ import annotations

import pytest
import torch

import timm_mergemix as mm

from ....models import tiny
from ...reference import relative_error
from .timms import load_layers
from .tiny import build, needs_transformers

pytestmark = needs_transformers
NAMES = {"norm1": "norm1", "norm2": "norm2"}


def pair():
    """timm's model, and transformers' with the same weights; both of float64."""
    timms = tiny("vit_small_patch14_dinov2", embed_dim=96, num_heads=4, dynamic_img_size=True).double()
    ours = build("hf dinov2", layer_norm_eps=1e-6, patch_size=14, image_size=56).double()
    load_layers(ours.encoder.layer, timms.blocks, NAMES)
    with torch.no_grad():
        for layer, block in zip(ours.encoder.layer, timms.blocks, strict=True):
            layer.layer_scale1.lambda1.copy_(block.ls1.gamma)
            layer.layer_scale2.lambda1.copy_(block.ls2.gamma)
        ours.embeddings.cls_token.copy_(timms.cls_token)
        ours.embeddings.position_embeddings.copy_(timms.pos_embed)
    ours.embeddings.patch_embeddings.projection.load_state_dict(timms.patch_embed.proj.state_dict())
    ours.layernorm.load_state_dict(timms.norm.state_dict())
    return timms, ours


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("r", [0, 3, [4, 2, 1]])
def test_its_tokens_are_those_of_timms_model(r, attention):
    timms, ours = pair()
    ours.set_attn_implementation(attention)
    mm.patch(timms, r)
    mm.patch(ours, r)
    x = torch.rand(2, 3, 56, 56, dtype=torch.float64)
    with torch.no_grad():
        wanted = timms.forward_intermediates(x, intermediates_only=True, norm=False, output_fmt="NLC")
        got = ours(x, output_hidden_states=True)
        assert (got.last_hidden_state - timms.forward_features(x)).abs().max() <= 1e-6
    for ours_after, timms_after in zip(got.hidden_states[1:], wanted, strict=True):
        assert (ours_after[:, 1:] - timms_after).abs().max() <= 1e-6


def test_their_saliency_is_the_same():
    timms, ours = pair()
    x = torch.rand(2, 3, 56, 56, dtype=torch.float64)
    torch.testing.assert_close(mm.saliency_map(ours, x, r=3), mm.saliency_map(timms, x, r=3))


def test_a_head_reads_the_patches_and_gets_all_of_them():
    model = build("hf dinov2, classes")
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        plain = model(x).logits
        tokens = mm.patch(model, 3).dinov2(x).last_hidden_state
        merged = model(x).logits
    assert tokens.shape == (2, 17, 96)
    wanted = model.classifier(torch.cat([tokens[:, 0], tokens[:, 1:].mean(dim=1)], dim=1))
    assert relative_error(merged, wanted) <= 1e-6 and relative_error(merged, plain) > 1e-3


def test_a_constant_r_merges_the_same_number_on_images_of_any_size():
    model = mm.patch(build("hf dinov2"), 5)
    assert mm.merge_info(model, (64, 64)).tokens == (17, 12, 7, 4)
    assert mm.merge_info(model, (128, 96)).tokens == (49, 44, 39, 34)
    with torch.no_grad():
        assert model(torch.rand(1, 3, 128, 96)).last_hidden_state.shape == (1, 49, 96)


def test_its_backbone_class_is_refused_as_the_layers_alone_are():
    import transformers

    model = transformers.Dinov2Backbone(build("hf dinov2").config)
    reason = "; a Dinov2Layer merges only inside a supported model"
    assert reason in mm.supported(model).reason
    with pytest.raises(mm.MergeMixError, match="Dinov2Backbone is not supported"):
        mm.patch(model, 3, prefix_tokens=1)
