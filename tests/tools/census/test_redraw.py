"""Redrawn parameters hide no error: they follow the seed, and none is what a fresh model has."""

from __future__ import annotations

import timm
import torch

from tools.census.redraw import redraw


def test_a_seed_gives_the_same_parameters_and_another_seed_others() -> None:
    first, again, other = (redraw(timm.create_model("test_vit"), seed).norm.weight for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_biases_and_gammas_are_away_from_their_fresh_values() -> None:
    model = redraw(timm.create_model("vit_small_patch14_dinov2", depth=1, embed_dim=48, num_heads=3))
    block = model.blocks[0]
    assert block.attn.qkv.bias.abs().mean() > 0.1
    assert 0.5 < block.ls1.gamma.mean() < 1.5 and block.ls1.gamma.std() > 0.1


def test_heads_that_are_mixed_stay_apart() -> None:
    model = redraw(timm.create_model("cait_xxs24_224", depth=1, embed_dim=48, num_heads=3))
    mixing = model.blocks[0].attn.proj_l.weight
    assert mixing.diagonal().abs().mean() > 0.5
