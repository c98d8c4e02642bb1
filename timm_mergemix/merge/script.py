"""torch.jit.script for patched models that merge nothing."""

from __future__ import annotations

import sys
from typing import Any

from torch import nn

from ..errors import Words, wrong
from .state import Merging
from .view import view_of

__all__ = ["scriptable"]


def scriptable(module: nn.Module, merging: Merging) -> nn.Module:
    """What is scripted in place of a patched module: a view of it without merging.

    Raises:
        MergeMixError: If it merges anything, or is scripted inside another module: torch would leave the view there.
    """
    alone = sys._getframe(3).f_code.co_name == "call_prepare_scriptable_func"
    if merging.settings_here.schedule.merges_any or not alone:
        raise wrong(
            "torch.jit.script",
            Words(f"a patched {type(module).__name__}{'' if alone else ' inside another module'}"),
            "an unpatched model: merging cannot be scripted; torch.jit.trace, torch.export and torch.compile work",
        )
    view = view_of(module)
    parts: list[Any] = [part for part in view.modules() if "merging" in vars(part)]
    for part in parts:
        type(part).take_out(part)
    return view
