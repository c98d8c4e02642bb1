"""What can be patched, and why not."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

import timm
import torch
from torch import nn

from ..errors import MergeMixError, wrong
from .find import find_model

__all__ = ["Support", "supported"]


@dataclass(frozen=True)
class Support:
    """Whether a model can be patched. True or False as a whole.

    Attributes:
        name: The model's name or class.
        family: The kind of model, None where it is not supported.
        blocks: Number of blocks that merge.
        reason: Why it is not supported, None where it is.
    """

    name: str
    family: str | None = None
    blocks: int = 0
    reason: str | None = None

    def __bool__(self) -> bool:
        return self.reason is None

    def __str__(self) -> str:
        if self.reason is not None:
            return f"{self.name}: not supported: {self.reason}"
        return f"{self.name}: supported as {self.family}, merges in {self.blocks} blocks"


def supported(model: nn.Module | str) -> Support:
    """Tells whether a model can be patched; never changes it.

    Args:
        model: A module, or the name of a timm model. A model of that name is built without weights to look at it.

    Raises:
        MergeMixError: If timm knows no model of that name.
    """
    name = model if isinstance(model, str) else type(model).__name__
    module = _build(model) if isinstance(model, str) else model
    try:
        vit, family = find_model(module)
    except MergeMixError as error:
        return Support(name, reason=str(error).split("is not supported: ")[-1])
    return Support(name, family.name, len(family.find_blocks(vit)))


def _build(name: str) -> nn.Module:
    if not timm.is_model(name):
        close = ", ".join(get_close_matches(name, timm.list_models()))
        raise wrong("model", name, "the name of a timm model" + (f", such as {close}" if close else ""))
    try:
        with torch.device("meta"):
            return timm.create_model(name, pretrained=False)
    except (RuntimeError, NotImplementedError):
        # Some models read tensor values while they are built, which the meta device does not have.
        return timm.create_model(name, pretrained=False)
