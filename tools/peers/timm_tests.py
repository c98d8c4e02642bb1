"""timm's tests/test_models.py: each model that a test creates by name is patched."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from torch import nn

from .patched import Patcher

# these tests load weights from the hub
ONLINE = ("test_model_inference", "test_model_load_pretrained", "test_model_features_pretrained")


class Timm:
    """Models are made by ``create_model``. A test has a model name as its parameter, or builds its own model."""

    files = ("test_models.py",)

    def adapt(self, module: ModuleType, patcher: Patcher) -> None:
        """Replaces ``create_model`` in the test module."""
        create: Callable[..., nn.Module] = vars(module)["create_model"]

        def create_model(*args: Any, **kwargs: Any) -> nn.Module:
            return patcher(create(*args, **kwargs))

        vars(module)["create_model"] = create_model

    def wants(self, item: pytest.Item, names: list[str]) -> bool:
        """Selects tests of the chosen models, with one pretrained tag each, and tests that build their own model."""
        if item.name.startswith(ONLINE):
            return False
        name = model_name(item)
        return name is None or name in names


def model_name(item: pytest.Item) -> str | None:
    """Returns the model name in the parameters of a test, without the tag of its weights."""
    call = getattr(item, "callspec", None)
    name = call.params.get("model_name") if call else None
    return name and str(name).split(".")[0]
