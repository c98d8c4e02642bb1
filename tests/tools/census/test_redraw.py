"""Redrawn parameters follow the seed and are away from their defaults, so they hide no errors."""

from __future__ import annotations

import timm
import torch

from tools.census.redraw import redraw


def test_the_seed_determines_the_parameters() -> None:
    first, again, other = (redraw(timm.create_model("test_vit"), seed).norm.weight for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_biases_and_gammas_are_away_from_their_defaults() -> None:
    model = redraw(timm.create_model("vit_small_patch14_dinov2", depth=1, embed_dim=48, num_heads=3))
    block = model.blocks[0]
    assert block.attn.qkv.bias.abs().mean() > 0.1
    assert 0.5 < block.ls1.gamma.mean() < 1.5 and block.ls1.gamma.std() > 0.1


def test_mixed_heads_remain_distinct() -> None:
    model = redraw(timm.create_model("cait_xxs24_224", depth=1, embed_dim=48, num_heads=3))
    mixing = model.blocks[0].attn.proj_l.weight
    assert mixing.diagonal().abs().mean() > 0.5
