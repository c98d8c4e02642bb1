"""Models without values: their modules and shapes, for a look at them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

__all__ = ["sketch"]

_IN_PLACE = "add_ bernoulli_ clamp_ copy_ div_ erfinv_ exponential_ fill_ mul_ normal_ random_ sub_ uniform_ zero_"
# Change values only, and so change nothing in a tensor that has none.
VALUES = frozenset(getattr(Tensor, name) for name in _IN_PLACE.split())
TABLES = frozenset({torch.arange, torch.as_tensor, torch.linspace, torch.tensor})


def sketch(build: Callable[[], nn.Module]) -> nn.Module:
    """Calls ``build`` such that its model takes next to no memory and little time, as far as that is possible.

    The torch seed is left alone.

    Args:
        build: Makes the model, on the default device.

    Returns:
        The model. Its tensors have no values, unless it cannot be built without.
    """
    with torch.random.fork_rng(devices=[]):
        for tables in (False, True):
            try:
                with torch.device("meta"), _NoValues(tables):
                    return build()
            except Exception:
                # Some models read values while they are built, and fail in various ways. Mostly these are of small
                # tables, such as the drop path rates in older releases of timm; the few that need more come below.
                continue
        return build()


class _NoValues(TorchFunctionMode):
    """Skips the initialisation of meta tensors: it changes nothing, and takes most of the time.

    Args:
        tables: Whether tables are computed for real, and only the other tensors have no values.
    """

    def __init__(self, tables: bool) -> None:
        super().__init__()
        self.tables = tables

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """What torch calls instead of ``func``."""
        kwargs = dict(kwargs or {})
        if func in VALUES or getattr(func, "__module__", None) == "torch.nn.init":
            tensor = args[0] if args else kwargs.get("tensor")
            if isinstance(tensor, Tensor) and tensor.is_meta:
                return tensor
        if self.tables and func in TABLES and kwargs.get("device") is None:
            kwargs["device"] = "cpu"
        return func(*args, **kwargs)
