"""Validation between epochs, merged or unmerged."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from torch import nn

from ..merge.patch import merging
from .check import is_primary, merges

if TYPE_CHECKING:
    from .hooks import Run

__all__ = ["run_validation"]

_logger = logging.getLogger(__name__)


def run_validation(run: Run, original: Callable[..., Any], model: nn.Module, *args: Any, **kwargs: Any) -> Any:
    """Calls a script's ``validate`` on a model, which may be an average of weights or a wrapper."""
    if not merges(run.args):
        return original(model, *args, **kwargs)
    merged = run.args.merge_eval
    if is_primary(run.args):
        how = f"merged, r={run.args.merge_r}" if merged else "unmerged"
        _logger.info(f"Validation{kwargs.get('log_suffix', '')} runs {how}")
    with nullcontext() if merged else merging(model, 0):
        return original(model, *args, **kwargs)
