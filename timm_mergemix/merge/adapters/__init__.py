"""One file a family of models. A new family is added to `FAMILIES`."""

from __future__ import annotations

from torch import nn

from .eva import EvaFamily
from .family import Family
from .torchvision_vit import TorchvisionVitFamily
from .vit import VitFamily

__all__ = ["FAMILIES", "Family", "family_of"]

FAMILIES: tuple[Family, ...] = (VitFamily(), EvaFamily(), TorchvisionVitFamily())


def family_of(model: nn.Module) -> Family | None:
    """The family of a model, patched or not; None where its class is not known exactly."""
    cls = type(model)
    for family in FAMILIES:
        if cls in family.models or cls in family.models.values():
            return family
    return None
