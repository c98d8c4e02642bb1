"""The models on which all surroundings are tried: class token, rotary positions, and rotary positions averaged."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor, nn

from ...models import images, tiny

ROPE = {"embed_dim": 96, "num_heads": 3}
OPTIONS = {
    "vit_tiny_patch16_224": {},
    "vit_small_patch16_dinov3": ROPE,
    "vit_betwixt_patch16_reg4_gap_256": {},
    "vit_medium_patch16_rope_reg1_gap_256": ROPE,
}
NAMES = [name for name in OPTIONS if timm.is_model(name)]
each_model = pytest.mark.parametrize("name", NAMES)
# For what takes seconds: a plain ViT, and rotary positions together with an average pool.
two_models = pytest.mark.parametrize("name", [name for name in NAMES if name in (NAMES[0], NAMES[-1])])


def build(name: str, **options: object) -> nn.Module:
    return tiny(name, **OPTIONS[name] | options)


def batch(model: nn.Module, size: int = 2, seed: int = 0) -> Tensor:
    return images(model, size, seed)


def gradients(model: nn.Module, x: Tensor) -> list[Tensor]:
    """Of a mean over the batch, all parameters; each must have one."""
    model.zero_grad()
    loss_of(model(x)).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    return [parameter.grad.clone() for parameter in model.parameters()]


def loss_of(out: Tensor) -> Tensor:
    return out.float().square().mean()


def equal(one: list[Tensor], other: list[Tensor]) -> bool:
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
