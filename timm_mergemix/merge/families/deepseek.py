"""timm's DeepSeek vision encoder."""

from __future__ import annotations

from typing import Any, ClassVar

from timm.models.deepseek_vit import DeepseekVitBlock, DeepseekVitClassifier, DeepseekVitEncoder
from torch import Tensor, nn

from ..blocks import Context, MergingBlock
from .eva import RopeBlock
from .timm_model import MergingTimmModel, TimmFamily

__all__ = ["BLOCKS", "FAMILY", "DeepseekFamily", "MergingDeepseekVit", "MergingDeepseekVitBlock"]


class MergingDeepseekVitBlock(RopeBlock, DeepseekVitBlock):
    """`timm.models.deepseek_vit.DeepseekVitBlock` that merges."""

    def forward(self, x: Tensor, rope: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """See `MergingBlock`."""
        return self.merge_forward(x, rope=rope)

    def attention_branch(self, x: Tensor, context: Context) -> tuple[Tensor, Tensor | None]:
        """See `MergingBlock`."""
        out, keys = self.attend(self.norm1(x), context)
        return self.drop_path1(out), keys

    def mlp_branch(self, x: Tensor) -> Tensor:
        """See `MergingBlock`."""
        return self.drop_path2(self.mlp(self.norm2(x)))

    def query_key(self, x: Tensor, queries: slice, context: Context) -> tuple[Tensor, Tensor, float]:
        """See `MergingBlock`."""
        return self.rotated(self.norm1(x), queries, context)


class MergingDeepseekVit(MergingTimmModel, DeepseekVitEncoder):
    """`timm.models.deepseek_vit.DeepseekVitEncoder` that merges."""


class DeepseekFamily(TimmFamily):
    """DeepSeek vision encoders, alone or in a classifier."""

    name = "timm DeepseekVitEncoder"
    models: ClassVar = {DeepseekVitEncoder: MergingDeepseekVit}
    wrappers: ClassVar = (DeepseekVitClassifier,)

    def has_class_token(self, model: Any) -> bool:
        """See `Family`."""
        return False

    def takes_any_size(self, model: Any) -> bool:
        """See `TimmFamily`."""
        return True


FAMILY = DeepseekFamily()
BLOCKS: dict[type[nn.Module], type[MergingBlock]] = {DeepseekVitBlock: MergingDeepseekVitBlock}
