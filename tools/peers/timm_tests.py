"""timm's tests/test_models.py: each model that it creates by name is patched."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from torch import nn

from .patched import Patcher

# They read weights from the hub.
ONLINE = ("test_model_inference", "test_model_load_pretrained", "test_model_features_pretrained")


class Timm:
    """Models come from ``create_model``; a test has the name of one as its parameter, or builds its own."""

    files = ("test_models.py",)

    def adapt(self, module: ModuleType, patcher: Patcher) -> None:
        """Rebinds ``create_model`` in the test module."""
        create: Callable[..., nn.Module] = vars(module)["create_model"]

        def create_model(*args: Any, **kwargs: Any) -> nn.Module:
            return patcher(create(*args, **kwargs))

        vars(module)["create_model"] = create_model

    def wants(self, item: pytest.Item, names: list[str]) -> bool:
        """Tests of the models that were chosen, one pretrained tag of each, and those that build their own."""
        if item.name.startswith(ONLINE):
            return False
        name = model_name(item)
        return name is None or name in names


def model_name(item: pytest.Item) -> str | None:
    """The model that a test has as its parameter, without the tag of its weights."""
    call = getattr(item, "callspec", None)
    name = call.params.get("model_name") if call else None
    return name and str(name).split(".")[0]
