"""Places MergeMix beside its peers in timm and torchvision, and takes it away again."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import timm.data
import torchvision.transforms.v2 as v2

from ..errors import unusable
from ..transforms import MergeMix as MergeMixTransform
from .mergemix import MergeMix

__all__ = ["install", "uninstall"]

_NAME = "MergeMix"
_PLACES: list[tuple[ModuleType, Any]] = [(timm.data, MergeMix), (v2, MergeMixTransform)]


def install() -> None:
    """Adds ``timm.data.MergeMix`` and ``torchvision.transforms.v2.MergeMix`` to this process, once.

    Raises:
        MergeMixError: If one of the two has another MergeMix; then neither is touched.
    """
    for module, ours in _PLACES:
        if getattr(module, _NAME, ours) is not ours:
            raise unusable("install", f"{module.__name__}.{_NAME} exists already and does not belong to this library")
    for module, ours in _PLACES:
        setattr(module, _NAME, ours)


def uninstall() -> None:
    """Undoes `install`. Names that belong to others stay."""
    for module, ours in _PLACES:
        if getattr(module, _NAME, None) is ours:
            delattr(module, _NAME)
