"""DINOv3 ViTs of transformers: rotary positions, which the attention applies to the patch tokens only."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn
from transformers.models.dinov3_vit.modeling_dinov3_vit import (
    DINOv3ViTAttention,
    DINOv3ViTLayer,
    DINOv3ViTModel,
    apply_rotary_pos_emb,
)

from ...blocks import Context, MergingBlock
from ..positions import merge_rope
from .layer import ScaledLayer
from .model import MergingTransformersModel, TransformersBackbone

__all__ = ["BLOCKS", "FAMILY", "MergingDINOv3ViTLayer", "MergingDINOv3ViTModel"]


class MergingDINOv3ViTLayer(ScaledLayer, DINOv3ViTLayer):
    """`transformers.models.dinov3_vit.modeling_dinov3_vit.DINOv3ViTLayer` that merges."""

    attention_class: ClassVar[type[nn.Module]] = DINOv3ViTAttention
    reads_source: ClassVar[bool] = True

    def forward(  # type: ignore[override]
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        position_embeddings: tuple[Tensor, Tensor] | None = None,
        **kwargs: Any,
    ) -> Tensor:
        call = {"attention_mask": attention_mask, "position_embeddings": position_embeddings}
        return MergingBlock.merge_forward(self, hidden_states, **call, **kwargs)

    def attention_call(self, context: Context) -> dict[str, Any]:
        return super().attention_call(context) | {"position_embeddings": self._positions(context)}

    def rotate(self, query: Tensor, key: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        return apply_rotary_pos_emb(query, key, *self._positions(context))

    def _positions(self, context: Context) -> tuple[Tensor, Tensor]:
        """Cosines and sines of the patch tokens as they are now, each (N, D) or (B, 1, K, D)."""
        cos, sin = context.call["position_embeddings"]
        if context.source is None:
            return cos, sin
        prefix = context.source.shape[1] - cos.shape[0]
        merged = (merge_rope(part, context.source, context.size, prefix, context.valid) for part in (cos, sin))
        return tuple(merged)  # type: ignore[return-value]


class MergingDINOv3ViTModel(MergingTransformersModel, DINOv3ViTModel):
    """`transformers.DINOv3ViTModel` that merges."""

    @staticmethod
    def blocks_of(model: Any) -> Any:
        return model.model.layer


class DINOv3Backbone(TransformersBackbone):
    """DINOv3 ViTs, alone or in a model with a head."""

    name = "transformers DINOv3"
    models: ClassVar = {DINOv3ViTModel: MergingDINOv3ViTModel}

    takes_any_size = True


FAMILY = DINOv3Backbone
BLOCKS: dict[type[nn.Module], type[MergingBlock]] = {DINOv3ViTLayer: MergingDINOv3ViTLayer}
