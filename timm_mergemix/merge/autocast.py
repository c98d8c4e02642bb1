"""Autocast contexts; those devices that know no autocast, such as meta, need none."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

__all__ = ["uncached_autocast", "without_autocast"]


def without_autocast(device_type: str) -> AbstractContextManager[Any]:
    """Autocast switched off: for sums and comparisons that need float32."""
    if not _knows_autocast(device_type) or not torch.is_autocast_enabled(device_type):
        return nullcontext()
    return torch.autocast(device_type, enabled=False)


def uncached_autocast(device_type: str) -> AbstractContextManager[Any]:
    """The caller's autocast without its cache: a weight cast here, without gradient, must not serve a training."""
    if not _knows_autocast(device_type):
        return nullcontext()
    return torch.autocast(
        device_type,
        dtype=torch.get_autocast_dtype(device_type),
        enabled=torch.is_autocast_enabled(device_type),
        cache_enabled=False,
    )


def _knows_autocast(device_type: str) -> bool:
    # The compiler of torch 2.6 cannot look it up; whatever is compiled runs where there is autocast, or on meta.
    return device_type != "meta" and (torch.compiler.is_compiling() or torch.amp.is_autocast_available(device_type))
