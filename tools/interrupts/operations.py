"""The operations that are interrupted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

import timm_mergemix as mm

BASE_R = 2
OTHER_R = 3


@dataclass(frozen=True)
class Operation:
    """An operation on a model.

    Attributes:
        name: Its name; results are counted per name.
        patched: Whether the model is patched before the operation.
        run: Runs the operation.
        leaves_r: The ``r`` of the model after the operation; None for an unpatched model.
    """

    name: str
    patched: bool
    run: Callable[[nn.Module, Tensor], Any]
    leaves_r: int | None

    @property
    def before_r(self) -> int | None:
        """The ``r`` of the model before the operation; None for an unpatched model."""
        return BASE_R if self.patched else None


def merging(model: nn.Module, x: Tensor) -> None:
    """Runs a forward pass with other settings."""
    with mm.merging(model, r=1, matching="pitome"):
        model(x)


def record(model: nn.Module, x: Tensor) -> None:
    """Records a forward pass."""
    with mm.record(model):
        model(x)


def saliency(model: nn.Module, x: Tensor) -> None:
    """Computes a saliency map with settings that are not the model's."""
    mm.saliency_map(model, x, r=1)


def scaled(model: nn.Module, x: Tensor) -> None:
    """Computes a saliency map at half the size of the images."""
    mm.saliency_map(model, x, r=1, scale=0.5)


OPERATIONS = [
    Operation("patch", False, lambda model, x: mm.patch(model, OTHER_R), OTHER_R),
    Operation("patch, patched", True, lambda model, x: mm.patch(model, OTHER_R), OTHER_R),
    Operation("unpatch", True, lambda model, x: mm.unpatch(model), None),
    Operation("saliency_map", False, saliency, None),
    Operation("saliency_map, patched", True, saliency, BASE_R),
    Operation("saliency_map, scaled", False, scaled, None),
    Operation("saliency_map, scaled, patched", True, scaled, BASE_R),
    Operation("merging", False, merging, None),
    Operation("merging, patched", True, merging, BASE_R),
    Operation("record", False, record, None),
    Operation("record, patched", True, record, BASE_R),
]
