"""timm models of full width and depth: r=0 is the identity, and r>0 gives the scheduled number of tokens."""

import pytest
import timm
import torch

import timm_mergemix as mm

from .models import redraw

MODELS = {
    "deit3_small_patch16_224": {},
    "vit_small_patch14_reg4_dinov2": {"img_size": 224},
    "vit_betwixt_patch16_reg4_gap_256": {},
    "vit_small_patch16_224": {"qk_norm": True},  # no timm model of plain blocks uses it by default
}


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> torch.nn.Module:
    return redraw(timm.create_model(request.param, num_classes=10, **MODELS[request.param])).eval()


@torch.no_grad()
def test_r_0_is_the_identity_and_every_block_merges_as_scheduled(model: torch.nn.Module) -> None:
    height, width = model.patch_embed.img_size
    x = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    plain = model(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        plain_bf16 = model(x)

    mm.patch(model, r=0)
    assert torch.equal(model(x), plain)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(model(x), plain_bf16)

    mm.patch(model, r=8)
    with mm.record(model, attention=False) as rec:
        merged = model(x)
    start = model.patch_embed.num_patches + model.num_prefix_tokens
    expected = [start - 8 * (i + 1) for i in range(len(model.blocks))]
    assert [layer.size.shape[1] for layer in rec.layers] == expected
    assert mm.merge_info(model).tokens == (start, *expected)
    assert merged.shape == plain.shape and not torch.allclose(merged, plain, rtol=1e-3)

    mm.unpatch(model)
    assert torch.equal(model(x), plain)
