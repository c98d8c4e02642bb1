"""One file a family of models. A new family is added to `FAMILIES`, its blocks to `BLOCKS`."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from torch import nn

from ..blocks import MergingBlock
from . import beit, cait, differential, eva, keys, lent, naflex, relpos, torchvision_vit, vit
from .backbone import Backbone

__all__ = ["BLOCKS", "FAMILIES", "PLAIN_BLOCKS", "Backbone", "family_of", "is_touched"]

# Models that came to timm after the oldest release that is supported.
NEWER = {"deepseek_vit": ".deepseek", "qwen3_vit": ".qwen3", "gemma4_vit": ".gemma4"}
_newer: list[Any] = [
    import_module(family, __name__) for module, family in NEWER.items() if find_spec(f"timm.models.{module}")
]

FAMILIES: tuple[type[Backbone], ...] = (
    vit.VitBackbone,
    eva.EvaBackbone,
    beit.BeitBackbone,
    relpos.RelPosBackbone,
    cait.CaitBackbone,
    naflex.NaFlexBackbone,
    *(module.FAMILY for module in _newer),
    torchvision_vit.TorchvisionVitBackbone,
)

# Block class -> its merging class; blocks merge in the same way in whatever model they are.
BLOCKS: dict[type[nn.Module], type[MergingBlock]] = {}
for _module in (vit, differential, eva, beit, relpos, cait, torchvision_vit, *_newer):
    BLOCKS |= _module.BLOCKS

PLAIN_BLOCKS = {merging: plain for plain, merging in BLOCKS.items()}


def is_touched(module: nn.Module) -> bool:
    """Whether some patched model has changed a module inside its blocks."""
    return keys.shows_keys(module) or lent.borrows(module)


def family_of(model: nn.Module) -> type[Backbone] | None:
    """The family of a model, patched or not; None where its class is not known exactly."""
    return next((family for family in FAMILIES if family.knows(model)), None)
