"""What the plugin needs to know about a package whose tests it runs."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Protocol

import pytest

from .patched import Patcher


class Peer(Protocol):
    """Makes the tests of one package use patched models."""

    @property
    def files(self) -> Sequence[str]:
        """Names of the test files that apply."""

    def adapt(self, module: ModuleType, patcher: Patcher) -> None:
        """Changes an imported test module so that the models of its tests go through the patcher."""

    def wants(self, item: pytest.Item, names: list[str]) -> bool:
        """Whether a test applies; ``names`` are the chosen timm models."""
