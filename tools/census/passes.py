"""Forward and backward passes of a model, patched or not."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from ..require import require
from .inputs import Input, tensor
from .shrink import trunk


class Plain:
    """The results of the unpatched model."""

    def __init__(self, model: nn.Module, x: Input) -> None:
        self.tokens = 0
        hook = trunk(model).blocks[0].register_forward_pre_hook(self._count)
        self.out = run(model, x)
        hook.remove()
        self.mixed = run_mixed(model, x)
        self.gradients = gradients(model, x)
        require(self.out.isfinite().all(), "not finite")

    def _count(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self.tokens = args[0].shape[1]


@torch.no_grad()
def run(model: nn.Module, x: Input) -> Tensor:
    """The output of a forward pass without gradients."""
    return tensor(model(x))


def run_mixed(model: nn.Module, x: Input) -> Tensor:
    """Like `run`, under bfloat16 autocast except for a convolutional stem, which takes minutes on most CPUs."""
    stem = getattr(getattr(model, "patch_embed", None), "backbone", None)
    with ExitStack() as hooks, torch.autocast("cpu", torch.bfloat16):
        if stem is not None:
            hooks.enter_context(stem.register_forward_pre_hook(lambda *_: torch.set_autocast_enabled("cpu", False)))
            hooks.enter_context(stem.register_forward_hook(lambda *_: torch.set_autocast_enabled("cpu", True)))
        return run(model, x)


def gradients(model: nn.Module, x: Input) -> dict[str, Tensor | None]:
    """The gradient of each parameter. Outputs are weighted randomly, because norms make a plain sum constant."""
    model.zero_grad()
    out = tensor(model(x))
    (out * torch.randn(out.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
    found = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad()
    return found
