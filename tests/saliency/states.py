"""Models for saliency passes, and what a pass must leave as it was."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..models import tiny

CLASS_TOKEN = ["vit", "distilled", "LayerScale", "registers", "clip"]
NO_CLASS_TOKEN = ["average, registers", "average, siglip", "average, no class token"]
DROPPING = {
    "drop_rate": 0.3,
    "proj_drop_rate": 0.3,
    "attn_drop_rate": 0.3,
    "drop_path_rate": 0.5,
    "patch_drop_rate": 0.25,
}


class TokenNorm(nn.BatchNorm1d):
    """BatchNorm over tokens (B, N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


def with_batch_norm(**options: object) -> nn.Module:
    model = tiny(**options)
    model.patch_embed.norm = TokenNorm(48)
    model.blocks[0].norm1 = TokenNorm(48)
    return model


def states(model: nn.Module) -> dict[str, object]:
    """All that a pass must leave as it was."""
    return {
        "modes": {name: module.training for name, module in model.named_modules()},
        "classes": {name: type(module) for name, module in model.named_modules()},
        "buffers": {name: buffer.clone() for name, buffer in model.named_buffers()},
        "wants": {name: parameter.requires_grad for name, parameter in model.named_parameters()},
        "values": {name: parameter.clone() for name, parameter in model.named_parameters()},
        "hooks": {name: dict(module._forward_hooks) for name, module in model.named_modules()},
        "rng": torch.get_rng_state(),
    }


def assert_as_before(model: nn.Module, before: dict[str, object]) -> None:
    for name, value in states(model).items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0) if name in (
            "buffers",
            "values",
            "rng",
        ) else None
        assert name in ("buffers", "values", "rng") or value == before[name], name
    assert all(parameter.grad is None for parameter in model.parameters())
