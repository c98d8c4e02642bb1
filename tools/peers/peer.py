"""What the plugin must know of a package whose tests run."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Protocol

import pytest

from .patched import Patcher


class Peer(Protocol):
    """How the tests of one package come to use models of ours."""

    @property
    def files(self) -> Sequence[str]:
        """Names of its test files that apply."""

    def adapt(self, module: ModuleType, patcher: Patcher) -> None:
        """Changes a test module after its import, such that what its tests build goes through the patcher."""

    def wants(self, item: pytest.Item, names: list[str]) -> bool:
        """Whether a test applies; ``names`` are the timm models that were chosen."""
