"""peft's tests of custom models: its test cases for an MLP are run on a ViT."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch

from .patched import Patcher
from .tiny import RowsViT

MODEL = "ViT"
LAYERS = {"lin0": "qkv", "lin1": "fc1"}


class Peft:
    """Its tests get a model by its name from a class, so both are replaced."""

    files = ("test_custom_models.py",)

    def adapt(self, module: ModuleType, patcher: Patcher) -> None:
        """Replaces the test cases and the class that creates the models."""
        cases = vars(module)["TEST_CASES"]
        # In place, because the marks of the tests refer to this list and are read later, when the class is collected.
        cases[:] = [(name, MODEL, config, for_vit(options)) for name, model, config, options in cases if model == "MLP"]
        for value in list(vars(module).values()):
            if isinstance(value, type) and value.__module__ == module.__name__ and "transformers_class" in vars(value):
                value.transformers_class = Models(patcher)  # type: ignore[attr-defined]

    def wants(self, item: pytest.Item, names: list[str]) -> bool:
        """Selects the tests that run through the cases."""
        call = getattr(item, "callspec", None)
        return call is not None and call.params.get("model_id") == MODEL


class Models:
    """Stands in for the class of transformers that the tests use.

    Args:
        patcher: Patches the models.
    """

    def __init__(self, patcher: Patcher) -> None:
        self.patcher = patcher

    def from_pretrained(self, model_id: str, dtype: torch.dtype | None = None) -> RowsViT:
        """Returns the same model at each call."""
        torch.manual_seed(0)
        return RowsViT(self.patcher).to(dtype or torch.float)


def for_vit(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a case, with layers of the ViT in place of layers of the MLP."""
    return {name: _renamed(name, value) for name, value in options.items()}


def _renamed(name: str, value: Any) -> Any:
    if isinstance(value, str):  # a pattern that matches a whole path
        return f".*{LAYERS[value]}" if value in LAYERS else value
    if isinstance(value, list):
        layers = {**LAYERS, "lin1": "head"} if name == "modules_to_save" else LAYERS
        return [layers.get(entry, entry) if isinstance(entry, str) else entry for entry in value]
    if isinstance(value, dict):
        return {LAYERS.get(key, key): entry for key, entry in value.items()}
    return value
