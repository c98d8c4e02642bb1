"""ViT and DeiT of transformers, which have the same layers under two names."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn
from transformers.models.vit.modeling_vit import ViTAttention, ViTLayer, ViTModel

from ...blocks import Context, MergingBlock
from .layer import TransformersLayer
from .model import MergingTransformersModel, TransformersBackbone

__all__ = ["BLOCKS", "FAMILY", "DroppedLayer", "MergingViTLayer", "MergingViTModel", "layers_of"]


class DroppedLayer(TransformersLayer):
    """A layer of ViT, with dropout after attention and MLP."""

    attention_name: ClassVar[str] = "attention"

    layernorm_before: Any
    layernorm_after: Any
    dropout: Any

    def before_attention(self, x: Tensor) -> Tensor:
        return self.layernorm_before(x)

    def attention_branch(self, x: Tensor, context: Context) -> tuple[Tensor, Tensor | None]:
        out, keys = self.attend(self.layernorm_before(x), context)
        return self.dropout(out), keys

    def mlp_branch(self, x: Tensor) -> Tensor:
        return self.dropout(self.mlp(self.layernorm_after(x)))


class MergingViTLayer(DroppedLayer, ViTLayer):
    """`transformers.models.vit.modeling_vit.ViTLayer` that merges."""

    attention_class: ClassVar[type[nn.Module]] = ViTAttention


def layers_of(model: Any) -> Any:
    """The layers of a model that holds them itself."""
    return model.layers


class MergingViTModel(MergingTransformersModel, ViTModel):
    """`transformers.ViTModel` that merges."""

    blocks_of = staticmethod(layers_of)


class ViTBackbone(TransformersBackbone):
    """ViT, alone or in a model with a head."""

    name = "transformers ViT"
    models: ClassVar = {ViTModel: MergingViTModel}


FAMILY = ViTBackbone
BLOCKS: dict[type[nn.Module], type[MergingBlock]] = {ViTLayer: MergingViTLayer}
