"""Merging taken out of modules, all of it or what an interrupt has left."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from .blocks import MergingBlock
from .families import BLOCKS
from .lock import CHANGING
from .model import MergingModel
from .state import Merging
from .vlm.reader import MergingReader

__all__ = ["mend", "restore"]


def mend(modules: Iterable[nn.Module]) -> None:
    """Takes apart what was left in modules by a patch or an unpatch that did not come to its end."""
    with CHANGING:
        states = [(module, vars(module).get("merging")) for module in modules]
        restore([module for module, state in states if isinstance(state, Merging) and not state.complete])


def restore(modules: Iterable[nn.Module]) -> None:
    """Takes merging out of modules; those that have none are left alone."""
    changed: list[Any] = [module for module in modules if "merging" in vars(module)]
    for module in changed:
        module.merging.retire()
    for module in changed:
        _restore(module)


def _restore(module: Any) -> None:
    if isinstance(module, MergingModel | MergingReader):
        module.take_out()
    elif isinstance(module, MergingBlock) or type(module) in BLOCKS:
        merging_class: Any = BLOCKS.get(type(module), type(module))
        merging_class.take_out(module)
    else:  # interrupted before, or after, its class was another one
        vars(module).pop("reading", None)
        del module.merging
