"""A second tree of modules over the parameters and buffers of a model."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from types import MethodType
from typing import Any, TypeVar

import torch
from torch import nn

from .lock import undisturbed

__all__ = ["eval_view", "view_of"]

M = TypeVar("M", bound=nn.Module)


def eval_view(model: M) -> M:
    """`view_of` a model, in eval mode whatever the mode of the model is."""
    view = view_of(model)
    for module in view.modules():
        if not isinstance(module, torch.jit.ScriptModule):
            module.training = False
    return view


@undisturbed
def view_of(model: M) -> M:
    """A view of a model: modules of its own, whose parameters and buffers are the model's.

    Modes, classes, attributes and hooks that are set on it do not affect the model. Weights that change, or move to
    another device, change in both. It is cheap, so that it can be made for each use, and is then never out of date.

    Args:
        model: Any module. Scripted modules inside it are shared, and so are modules that a function in place of a
            ``forward`` holds by its closure.
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
    view.__dict__.pop("_compiled_call_impl", None)  # it calls the original
    return view


def _connect(module: nn.Module, views: dict[int, nn.Module]) -> None:
    """Puts views in place of the modules that the view of a module refers to."""
    view = views[id(module)]
    if view is module:
        return
    for name, value in list(view.__dict__.items()):
        if name not in ("_parameters", "_buffers"):  # these are shared, so that what moves or changes does in both
            view.__dict__[name] = _viewed(value, views)
    if hasattr(module, "_orig_mod"):  # its forward is compiled code of the original
        view.__dict__["forward"] = view.__dict__["_modules"]["_orig_mod"].__call__


def _viewed(value: Any, views: dict[int, nn.Module]) -> Any:
    """An attribute with views in place of modules: also in lists, dictionaries, methods and partial calls of them."""
    if isinstance(value, nn.Module):
        return views.get(id(value), value)
    if type(value) in (list, tuple):
        return type(value)(_viewed(each, views) for each in value)
    if type(value) in (dict, OrderedDict):
        return type(value)((key, _viewed(each, views)) for key, each in value.items())
    if isinstance(value, MethodType):
        return MethodType(value.__func__, _viewed(value.__self__, views))
    if isinstance(value, partial):
        args = [_viewed(each, views) for each in value.args]
        return partial(_viewed(value.func, views), *args, **_viewed(value.keywords, views))
    return value
