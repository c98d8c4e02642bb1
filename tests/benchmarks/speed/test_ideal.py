"""The ideal model has as many tokens as the merged model and is otherwise the original."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch

import timm_mergemix as mm
from benchmarks.speed.ideal import make_ideal

IMAGES = torch.rand(2, 3, 64, 64)


def tiny() -> Any:
    return timm.create_model(
        "vit_tiny_patch16_224", img_size=64, depth=3, embed_dim=48, num_heads=3, num_classes=5
    ).eval()


def lengths(model: Any) -> list[int]:
    seen: list[int] = []
    hooks = [block.register_forward_hook(lambda m, i, out: seen.append(out.shape[1])) for block in model.blocks]
    model(IMAGES)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("r", [0, 3, ("keep", 0.5), [1, 0, 2], 100])
def test_it_has_as_many_tokens_as_the_merged_model(r: Any) -> None:
    assert lengths(make_ideal(tiny(), r)) == list(mm.merge_info(mm.patch(tiny(), r)).tokens[1:])


def test_without_merging_it_equals_the_model() -> None:
    model = tiny()
    assert torch.equal(make_ideal(model, 0)(IMAGES), model(IMAGES))


def test_the_model_is_not_changed() -> None:
    model = tiny()
    before = model(IMAGES)
    assert not torch.equal(make_ideal(model, 3)(IMAGES), before)
    assert torch.equal(model(IMAGES), before)


def test_another_model_is_refused() -> None:
    relpos = timm.create_model("vit_relpos_small_patch16_224", img_size=32, depth=2, embed_dim=48, num_heads=3)
    for model in (mm.patch(tiny(), 1), relpos):
        with pytest.raises(mm.MergeMixError, match="wanted an unpatched timm VisionTransformer"):
            make_ideal(model, 3)
