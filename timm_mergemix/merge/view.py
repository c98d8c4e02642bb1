"""A second tree of modules over the parameters and buffers of a model."""

from __future__ import annotations

from functools import partial
from types import MethodType
from typing import Any, TypeVar

import torch
from torch import nn

__all__ = ["eval_view", "view_of"]

M = TypeVar("M", bound=nn.Module)


def eval_view(model: M) -> M:
    """`view_of` a model, in eval mode whatever the mode of the model is."""
    view = view_of(model)
    for module in view.modules():
        if not isinstance(module, torch.jit.ScriptModule):
            module.training = False
    return view


def view_of(model: M) -> M:
    """A view of a model: modules of its own, whose parameters and buffers are the model's.

    Modes, classes, attributes and hooks that are set on it concern nobody else; weights that change, or move to another
    device, change in both. It is cheap, so that it can be made for each use, and is then never out of date.

    Args:
        model: Any module. Scripted modules inside it are shared, as they are.
    """
    views: dict[int, nn.Module] = {}
    _add_views(model, views)
    return views[id(model)]  # type: ignore[return-value]


def _add_views(model: nn.Module, views: dict[int, nn.Module]) -> None:
    originals = list(model.modules())
    for module in originals:
        views[id(module)] = module if isinstance(module, torch.jit.ScriptModule) else _bare_view(module)
    for module in originals:
        _connect(module, views)


def _bare_view(module: nn.Module) -> nn.Module:
    view = module.__class__.__new__(module.__class__)
    view.__dict__.update(module.__dict__)
    view.__dict__["_forward_hooks"] = module._forward_hooks.copy()
    view.__dict__["_forward_pre_hooks"] = module._forward_pre_hooks.copy()
    view.__dict__.pop("_compiled_call_impl", None)  # it calls the original
    return view


def _connect(module: nn.Module, views: dict[int, nn.Module]) -> None:
    """Puts views in place of the modules that the view of a module refers to."""
    view = views[id(module)]
    if view is module:
        return
    view.__dict__["_modules"] = {
        name: None if child is None else views[id(child)] for name, child in module._modules.items()
    }
    for name, value in module.__dict__.items():
        if isinstance(value, (MethodType, partial)):
            view.__dict__[name] = _rebound(value, views)


def _rebound(call: Any, views: dict[int, nn.Module]) -> Any:
    """A method or a partial call of a module, as of its view: libraries replace ``forward`` by such ones."""
    if isinstance(call, MethodType):
        return MethodType(call.__func__, views[id(call.__self__)]) if id(call.__self__) in views else call
    if isinstance(call, partial):
        args = [views.get(id(arg), arg) for arg in call.args]
        return partial(_rebound(call.func, views), *args, **call.keywords)
    return call
