"""DeiT of transformers never merges its class token or its distillation token."""

from __future__ import annotations

import torch

import timm_mergemix as mm
from timm_mergemix.merge.find.search import find_backbone

from ...reference import relative_error
from .tiny import build, needs_transformers

pytestmark = needs_transformers


def test_two_tokens_are_no_patches():
    model = build("hf deit")
    assert find_backbone(model).prefix_tokens == 2
    mm.patch(model, 7)
    with torch.no_grad(), mm.record(model) as rec:
        model(torch.rand(2, 3, 64, 64))
    assert all((layer.source[:, :2] == torch.arange(2)).all() for layer in rec.layers)
    assert all((layer.size[:, :2] == 1).all() for layer in rec.layers)
    assert mm.merge_info(model).prefix_tokens == 2


def test_both_heads_of_a_distilled_model_read_their_token():
    model = build("hf deit, teacher")
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        plain = model(x)
        tokens = mm.patch(model, 3).deit(x).last_hidden_state
        merged = model(x)
    wanted = (model.cls_classifier(tokens[:, 0]) + model.distillation_classifier(tokens[:, 1])) / 2
    torch.testing.assert_close(merged.logits, wanted)
    assert relative_error(merged.logits, plain.logits) > 1e-3
