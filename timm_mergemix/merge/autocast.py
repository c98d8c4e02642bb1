"""Autocast contexts; those devices that know no autocast, such as meta, need none."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

__all__ = ["uncached_autocast", "without_autocast"]


def without_autocast(device_type: str) -> AbstractContextManager[Any]:
    """Autocast switched off: for sums and comparisons that need float32."""
    if not torch.amp.is_autocast_available(device_type):
        return nullcontext()
    return torch.autocast(device_type, enabled=False)


def uncached_autocast(device_type: str) -> AbstractContextManager[Any]:
    """The caller's autocast without its cache: a weight cast here, without gradient, must not serve a training."""
    if not torch.amp.is_autocast_available(device_type):
        return nullcontext()
    return torch.autocast(
        device_type,
        dtype=torch.get_autocast_dtype(device_type),
        enabled=torch.is_autocast_enabled(device_type),
        cache_enabled=False,
    )
