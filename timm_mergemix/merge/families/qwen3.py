"""timm's Qwen3 vision encoder; its blocks are Eva's."""

from __future__ import annotations

from typing import ClassVar

from timm.models.qwen3_vit import Qwen3VitClassifier, Qwen3VitEncoder
from torch import nn

from ..blocks import MergingBlock
from .timm_model import MergingTimmModel, TimmBackbone

__all__ = ["BLOCKS", "FAMILY", "MergingQwen3Vit", "Qwen3Backbone"]


class MergingQwen3Vit(MergingTimmModel, Qwen3VitEncoder):
    """`timm.models.qwen3_vit.Qwen3VitEncoder` that merges."""


class Qwen3Backbone(TimmBackbone):
    """Qwen3-VL vision encoders, alone or in a classifier."""

    name = "timm Qwen3VitEncoder"
    models: ClassVar = {Qwen3VitEncoder: MergingQwen3Vit}
    wrappers: ClassVar = (Qwen3VitClassifier,)

    has_class_token = False

    takes_any_size = True

    @property
    def unit(self) -> tuple[int, int]:
        """What the sides of an image must be multiples of: the projector joins squares of patches."""
        rows, columns = super().unit
        side = 1 if self.model.merger is None else self.model.merge_size
        return rows * side, columns * side


FAMILY = Qwen3Backbone
BLOCKS: dict[type[nn.Module], type[MergingBlock]] = {}
