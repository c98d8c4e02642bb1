"""The models on which all surroundings are tried: class token, rotary positions, and rotary positions averaged."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ...models import images
from ..families.cases import BUILDERS

NAMES = [case for case in ("vit", "dinov3", "average, registers", "rope, register") if case in BUILDERS]
each_model = pytest.mark.parametrize("name", NAMES)
# For what takes seconds: a plain ViT, and rotary positions together with an average pool.
two_models = pytest.mark.parametrize("name", [name for name in NAMES if name in (NAMES[0], NAMES[-1])])


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
