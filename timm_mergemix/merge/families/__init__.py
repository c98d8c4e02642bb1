"""One file per family of models. A new family is added to `FAMILIES`, its blocks to `BLOCKS`.

Families of transformers are in ``hf``; they are known from the moment when transformers' own module has been imported.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from torch import nn

from ..blocks import MergingBlock
from ..lock import CHANGING
from . import beit, cait, differential, eva, keys, lent, naflex, relpos, torchvision_vit, vit
from .backbone import Backbone

__all__ = [
    "BLOCKS",
    "FAMILIES",
    "HF_FAMILIES",
    "OLDEST_TRANSFORMERS",
    "PLAIN_BLOCKS",
    "Backbone",
    "family_of",
    "is_old",
    "is_touched",
    "know_families",
    "may_be_held",
]

# Models that came to timm after the oldest release that is supported.
NEWER = {"deepseek_vit": ".deepseek", "qwen3_vit": ".qwen3", "gemma4_vit": ".gemma4"}
_newer: list[Any] = [
    import_module(family, __name__) for module, family in NEWER.items() if find_spec(f"timm.models.{module}")
]

# Modules of transformers, and the family of each. Nobody has a model of a module that was not imported.
HF_FAMILIES = {
    f"transformers.models.{name}.modeling_{name}": f".hf.{family}"
    for name, family in (
        ("vit", "vit"),
        ("deit", "deit"),
        ("dinov2", "dinov2"),
        ("dinov2_with_registers", "dinov2_registers"),
        ("dinov3_vit", "dinov3"),
        ("clip", "clip"),
        ("siglip", "siglip"),
        ("siglip2", "siglip2"),
    )
}

FAMILIES: list[type[Backbone]] = [
    vit.VitBackbone,
    eva.EvaBackbone,
    beit.BeitBackbone,
    relpos.RelPosBackbone,
    cait.CaitBackbone,
    naflex.NaFlexBackbone,
    *(module.FAMILY for module in _newer),
    torchvision_vit.TorchvisionVitBackbone,
]

# Block class -> its merging class; blocks merge in the same way in whatever model they are.
BLOCKS: dict[type[nn.Module], type[MergingBlock]] = {}
for _module in (vit, differential, eva, beit, relpos, cait, torchvision_vit, *_newer):
    BLOCKS |= _module.BLOCKS

PLAIN_BLOCKS = {merging: plain for plain, merging in BLOCKS.items()}


OLDEST_TRANSFORMERS = (5, 18)


def is_old(transformers: Any) -> bool:
    """Whether a release of transformers has its models from before the oldest one that is supported."""
    major, minor = transformers.__version__.split(".")[:2]
    return (int(major), int(minor)) < OLDEST_TRANSFORMERS


def know_families() -> None:
    """Adds those families of transformers whose module was imported since."""
    transformers = sys.modules.get("transformers")
    if transformers is None or len(_known) == len(HF_FAMILIES) or is_old(transformers):
        return
    for module, family in HF_FAMILIES.items():
        if family not in _known and module in sys.modules:
            added: Any = import_module(family, __name__)
            with CHANGING:
                _add(family, added)


def _add(family: str, added: Any) -> None:
    if family in _known:  # another thread has been faster
        return
    BLOCKS.update(added.BLOCKS)
    PLAIN_BLOCKS.update({merging: plain for plain, merging in added.BLOCKS.items()})
    FAMILIES.append(added.FAMILY)
    _known.add(family)


_known: set[str] = set()


def may_be_held(module: nn.Module) -> bool:
    """Whether a module is an unpatched block that may merge in whatever module it is."""
    merging_class = BLOCKS.get(type(module))
    return merging_class is not None and merging_class.may_be_held


def is_touched(module: nn.Module) -> bool:
    """Whether some patched model has changed a module inside its blocks."""
    return keys.shows_keys(module) or lent.borrows(module)


def family_of(model: nn.Module) -> type[Backbone] | None:
    """The family of a model, patched or not; None if its class is not known exactly."""
    know_families()
    return next((family for family in FAMILIES if family.knows(model)), None)
