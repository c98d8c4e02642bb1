"""timm's Qwen3 vision encoder; its blocks are Eva's."""

from __future__ import annotations

from typing import Any, ClassVar

from timm.models.qwen3_vit import Qwen3VitClassifier, Qwen3VitEncoder
from torch import nn

from ..blocks import MergingBlock
from .timm_model import MergingTimmModel, TimmFamily

__all__ = ["BLOCKS", "FAMILY", "MergingQwen3Vit", "Qwen3Family"]


class MergingQwen3Vit(MergingTimmModel, Qwen3VitEncoder):
    """`timm.models.qwen3_vit.Qwen3VitEncoder` that merges."""


class Qwen3Family(TimmFamily):
    """Qwen3-VL vision encoders, alone or in a classifier."""

    name = "timm Qwen3VitEncoder"
    models: ClassVar = {Qwen3VitEncoder: MergingQwen3Vit}
    wrappers: ClassVar = (Qwen3VitClassifier,)

    def has_class_token(self, model: Any) -> bool:
        """See `Family`."""
        return False

    def takes_any_size(self, model: Any) -> bool:
        """See `TimmFamily`."""
        return True

    def unit(self, model: Any) -> tuple[int, int]:
        """See `TimmFamily`: its projector joins squares of patches."""
        rows, columns = super().unit(model)
        side = 1 if model.merger is None else model.merge_size
        return rows * side, columns * side


FAMILY = Qwen3Family()
BLOCKS: dict[type[nn.Module], type[MergingBlock]] = {}
