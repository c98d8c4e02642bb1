"""The behaviour of a model, and the settings that torch keeps per thread."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

import timm_mergemix as mm

from ..census.inputs import tensor

Behaviour = list[Tensor]


class Expected:
    """The behaviour of copies of a model that were not interrupted."""

    def __init__(self, plain: nn.Module, x: Tensor) -> None:
        self.plain = plain
        self.x = x
        self._known: dict[int | None, Behaviour] = {}

    def model(self, r: int | None) -> nn.Module:
        """Returns a copy, patched unless ``r`` is None."""
        copied = deepcopy(self.plain)
        return copied if r is None else mm.patch(copied, r)

    def behaviour(self, r: int | None) -> Behaviour:
        """Returns the behaviour of such a copy."""
        if r not in self._known:
            self._known[r] = behaviour(self.model(r), self.x)
        return self._known[r]


def behaviour(model: nn.Module, x: Tensor) -> Behaviour:
    """Returns the modes of the modules, output, gradients, records and saliency of a model."""
    modes = torch.tensor([module.training for module in model.modules()])
    out = tensor(model(x))
    used = [parameter for parameter in model.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(out.square().sum(), used, allow_unused=True)
    with torch.no_grad(), mm.record(model) as rec:
        model(x)
    layers = [part for layer in rec.layers for part in (layer.source, layer.size)]
    return [modes, out.detach(), *(g for g in gradients if g is not None), *layers, mm.saliency_map(model, x)]


def first_difference(found: Behaviour, wanted: Behaviour) -> str | None:
    """Describes what differs; None if nothing does."""
    if not torch.equal(found[0], wanted[0]):
        return "different modes"
    same = len(found) == len(wanted) and all(map(torch.equal, found, wanted))
    return None if same else "different output, gradients, records or saliency"


def reset_torch() -> bool:
    """Restores torch's settings of this thread after an interrupt; returns whether any had changed."""
    left = not torch.is_grad_enabled() or torch.is_autocast_enabled("cpu") or not torch.is_autocast_cache_enabled()
    torch.set_grad_enabled(True)
    torch.set_autocast_enabled("cpu", False)
    torch.set_autocast_cache_enabled(True)
    return left
