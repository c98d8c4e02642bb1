"""accelerate's tests of hooks, offloading and device maps: a ViT is added after the batch norm of their models."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from torch import nn

from .patched import Patcher
from .tiny import NormAndViT, RowsViT


class Accelerate:
    """Its test models name their layers in device maps, so a module inside their batch norm follows it."""

    files = (
        "test_big_modeling.py",
        "test_hooks.py",
        "test_modeling_utils.py",
        "test_offload.py",
        "test_memory_utils.py",
        "test_accelerator.py",
        "test_utils.py",
    )

    def adapt(self, module: ModuleType, patcher: Patcher) -> None:
        """Puts a ViT into each model with a batch norm, and in place of one other model, of a test module."""
        for value in list(vars(module).values()):
            if isinstance(value, type) and issubclass(value, nn.Module) and value.__module__ == module.__name__:
                with_vit_inside(value, patcher)
        if hasattr(module, "RegressionModel"):
            vars(module)["RegressionModel"] = lambda: RowsViT(patcher)

    def wants(self, item: pytest.Item, names: list[str]) -> bool:
        """Selects all tests, because tests that build no ViT are not counted."""
        return True


def with_vit_inside(cls: type[nn.Module], patcher: Patcher) -> None:
    """Changes a class so that its instances have a ViT in their batch norm."""
    init: Callable[..., None] = cls.__init__

    def with_vit(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        norm = self._modules.get("batchnorm")
        if type(norm) is nn.BatchNorm1d:
            self.add_module("batchnorm", NormAndViT(norm.num_features, patcher))

    cls.__init__ = with_vit  # type: ignore[method-assign]
