"""What is interrupted."""

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
    """Something that is done to a model.

    Attributes:
        name: What is counted together.
        patched: Whether the model is patched before.
        run: Does it.
        leaves_r: What merges in the model once it is done; None for an unpatched model.
    """

    name: str
    patched: bool
    run: Callable[[nn.Module, Tensor], Any]
    leaves_r: int | None

    @property
    def before_r(self) -> int | None:
        """What merges before; None for an unpatched model."""
        return BASE_R if self.patched else None


def merging(model: nn.Module, x: Tensor) -> None:
    """A forward pass under other settings."""
    with mm.merging(model, r=1, matching="pitome"):
        model(x)


def record(model: nn.Module, x: Tensor) -> None:
    """A recorded forward pass."""
    with mm.record(model):
        model(x)


def saliency(model: nn.Module, x: Tensor) -> None:
    """A saliency map, at other settings than the model's."""
    mm.saliency_map(model, x, r=1)


def scaled(model: nn.Module, x: Tensor) -> None:
    """A saliency map at half the size of the images."""
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
