"""transformers' tests of its vision models: each model that a test builds or loads from disk is patched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from types import ModuleType
from typing import Any

import pytest

from .patched import Patcher

FOLDERS = (
    "vit",
    "deit",
    "dinov2",
    "dinov2_with_registers",
    "dinov3_vit",
    "timm_wrapper",
    "clip",
    "siglip",
    "siglip2",
)
TIMM_TESTER = "TimmWrapperModelTester"


class Transformers:
    """Tests call a model class or its ``from_pretrained`` under many names, so the classes themselves are changed."""

    files = tuple(f"models/{name}/test_modeling_{name}.py" for name in FOLDERS)

    def __init__(self) -> None:
        self._done: set[type] = set()
        self._depth = 0

    def adapt(self, module: ModuleType, patcher: Patcher) -> None:
        """Changes all model classes that have been imported, which include those that the test module tests.

        The wrapper of timm's models is tested with a ResNet, which is replaced by a ViT.
        """
        from transformers import PreTrainedModel

        self.change(PreTrainedModel, patcher)
        if hasattr(module, TIMM_TESTER):
            vars(module)[TIMM_TESTER] = with_vit(vars(module)[TIMM_TESTER])

    def change(self, base: type, patcher: Patcher) -> None:
        """Changes a class and its subclasses once, so that they pass their instances to the patcher."""
        for cls in [base, *_below(base)]:
            if cls in self._done:
                continue
            self._done.add(cls)
            own = vars(cls)
            if "from_pretrained" in own:
                cls.from_pretrained = classmethod(self._patching(own["from_pretrained"].__func__, patcher, _returned))  # type: ignore[attr-defined]
            if (
                "__init__" in own and cls is not base
            ):  # the initialiser of the base class runs before the model has its parts
                cls.__init__ = self._patching(own["__init__"], patcher, _itself)  # type: ignore[misc]

    def wants(self, item: pytest.Item, names: list[str]) -> bool:
        """Selects all tests, because tests that build no model to patch are not counted."""
        return True

    def _patching(self, make: Callable[..., Any], patcher: Patcher, made: Callable[..., Any]) -> Callable[..., Any]:
        """Wraps a constructor so that it patches the finished model, but not while an outer model is being built."""

        @wraps(make)
        def patching(first: Any, *args: Any, **kwargs: Any) -> Any:
            self._depth += 1
            try:
                result = make(first, *args, **kwargs)
            finally:
                self._depth -= 1
            if not self._depth:
                patcher(made(first, result))
            return result

        return patching


def with_vit(tester: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the tester of a timm model with its model replaced by a ViT."""

    def make(*args: Any, **kwargs: Any) -> Any:
        made = tester(*args, **kwargs)
        made.architecture, made.model_args = "test_vit", {"img_size": made.image_size}
        return made

    return make


def _itself(model: Any, result: None) -> Any:
    return model


def _returned(cls: type, result: Any) -> Any:
    """Returns the model, which may be returned together with a loading report."""
    return result[0] if isinstance(result, tuple) else result


def _below(cls: type) -> Iterator[type]:
    children: list[type] = cls.__subclasses__()
    for child in children:
        yield child
        yield from _below(child)
