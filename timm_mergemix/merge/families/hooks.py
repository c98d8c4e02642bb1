"""Forward hooks that are identified by their function, so that they can be removed without a handle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

__all__ = ["has_hook", "hook", "unhook"]


def hook(module: nn.Module, function: Callable[..., Any]) -> None:
    """Registers a forward hook, unless the module has it already."""
    if not has_hook(module, function):
        module.register_forward_hook(function)


def unhook(module: nn.Module, function: Callable[..., Any]) -> None:
    """Removes a forward hook, if the module has it."""
    for key in [key for key, known in module._forward_hooks.items() if known is function]:
        del module._forward_hooks[key]


def has_hook(module: nn.Module, function: Callable[..., Any]) -> bool:
    """Whether the module has that forward hook."""
    return any(known is function for known in module._forward_hooks.values())
