"""timm's DeepSeek vision encoder."""

from __future__ import annotations

from typing import ClassVar

from timm.models.deepseek_vit import DeepseekVitBlock, DeepseekVitClassifier, DeepseekVitEncoder
from torch import Tensor, nn

from ..blocks import MergingBlock
from .branches import PreNormBlock
from .eva import RopeBlock
from .timm_model import MergingTimmModel, TimmBackbone

__all__ = ["BLOCKS", "FAMILY", "DeepseekBackbone", "MergingDeepseekVit", "MergingDeepseekVitBlock"]


class MergingDeepseekVitBlock(RopeBlock, PreNormBlock, DeepseekVitBlock):
    """`timm.models.deepseek_vit.DeepseekVitBlock` that merges."""

    def forward(self, x: Tensor, rope: Tensor | None = None) -> Tensor:  # type: ignore[override]
        return MergingBlock.merge_forward(self, x, rope=rope)


class MergingDeepseekVit(MergingTimmModel, DeepseekVitEncoder):
    """`timm.models.deepseek_vit.DeepseekVitEncoder` that merges."""


class DeepseekBackbone(TimmBackbone):
    """DeepSeek vision encoders, alone or in a classifier."""

    name = "timm DeepseekVitEncoder"
    models: ClassVar = {DeepseekVitEncoder: MergingDeepseekVit}
    wrappers: ClassVar = (DeepseekVitClassifier,)

    has_class_token = False

    takes_any_size = True


FAMILY = DeepseekBackbone
BLOCKS: dict[type[nn.Module], type[MergingBlock]] = {DeepseekVitBlock: MergingDeepseekVitBlock}
