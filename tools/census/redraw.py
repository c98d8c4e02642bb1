"""Redraws parameters so that they hide no errors: none is near zero, and gates and tables are not at defaults."""

from __future__ import annotations

import torch
from timm.models.cait import TalkingHeadAttn
from torch import Tensor, nn


@torch.no_grad()
def redraw(model: nn.Module, seed: int = 0) -> nn.Module:
    """Redraws all parameters in place; buffers are kept."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            drawn = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(_scaled(module, name, drawn))
    for module in model.modules():
        if isinstance(module, TalkingHeadAttn):
            _keep_heads_apart(module)
    return model


def _keep_heads_apart(attn: TalkingHeadAttn) -> None:
    """Mixes heads only a little, as trained weights do; strong mixing could make attention negative everywhere."""
    for mixing in (attn.proj_l, attn.proj_w):
        mixing.weight.mul_(0.3).add_(torch.eye(attn.num_heads))
    attn.proj_w.bias.mul_(0.1)


def _scaled(module: nn.Module, name: str, drawn: Tensor) -> Tensor:
    if name == "weight" and drawn.ndim > 1:  # a projection that keeps the variance of its input
        return drawn / (drawn.numel() / len(drawn)) ** 0.5
    if name.startswith(("weight", "gamma", "gain")):
        return 1 + 0.2 * drawn
    if name == "bias" and not isinstance(module, nn.Linear):  # of a norm or a convolution
        return 0.2 * drawn
    return 0.2 * drawn.sign() + 0.3 * drawn
