"""DINOv2 with registers, of transformers: registers never merge, and no head reads them."""

from __future__ import annotations

import pytest
import torch

import timm_mergemix as mm
from timm_mergemix.merge.find.search import find_backbone

from .tiny import build, needs_transformers

pytestmark = needs_transformers


@pytest.mark.parametrize("registers", [0, 1, 4])
def test_registers_are_no_patches(registers):
    model = build("hf registers", num_register_tokens=registers)
    assert find_backbone(model).prefix_tokens == 1 + registers
    mm.patch(model, 6)
    with torch.no_grad(), mm.record(model) as rec:
        out = model(torch.rand(2, 3, 64, 64)).last_hidden_state
    assert out.shape[1] == 17 + registers
    assert all((layer.size[:, : 1 + registers] == 1).all() for layer in rec.layers)
    assert rec.layers[-1].size.sum(dim=1).tolist() == [out.shape[1]] * 2


def test_a_classifier_reads_the_class_token_and_all_patches():
    import transformers

    model = transformers.Dinov2WithRegistersForImageClassification(build("hf registers").config).eval()
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        tokens = mm.patch(model, 3).dinov2_with_registers(x).last_hidden_state
        logits = model(x).logits
    wanted = model.classifier(torch.cat([tokens[:, 0], tokens[:, 4:].mean(dim=1)], dim=1))
    assert tokens.shape == (2, 20, 96)
    torch.testing.assert_close(logits, wanted)
