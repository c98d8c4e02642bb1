"""Validation between epochs, merged or unmerged."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from torch import nn

from ..merge.patch import merging
from .log import say
from .run import Run

__all__ = ["run_validation"]


def run_validation(run: Run, original: Callable[..., Any], model: nn.Module, *args: Any, **kwargs: Any) -> Any:
    """Calls a script's ``validate`` on a model, which may be a wrapper or hold averaged weights."""
    merge, merged = run.request.merge, run.request.merge_eval
    if merge is None:
        return original(model, *args, **kwargs)
    say(f"Validation{kwargs.get('log_suffix', '')} runs {f'merged, r={merge.r}' if merged else 'unmerged'}")
    with nullcontext() if merged else merging(model, 0):
        return original(model, *args, **kwargs)
