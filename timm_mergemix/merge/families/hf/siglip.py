"""The image towers of SigLIP, which have no class token: a head pools their patches by attention."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.siglip.modeling_siglip import SiglipAttention, SiglipEncoderLayer, SiglipVisionModel

from ...blocks import MergingBlock
from ...record import mean_attention, softmax_attention
from .layer import UnscaledLayer
from .model import MergingTransformersModel, TransformersBackbone

__all__ = ["BLOCKS", "FAMILY", "MergingSiglipEncoderLayer", "MergingSiglipVisionModel", "PooledBackbone"]


class MergingSiglipEncoderLayer(UnscaledLayer, SiglipEncoderLayer):
    """`transformers.models.siglip.modeling_siglip.SiglipEncoderLayer` that merges."""

    attention_class: ClassVar[type[nn.Module]] = SiglipAttention


class MergingSiglipVisionModel(MergingTransformersModel, SiglipVisionModel):
    """`transformers.SiglipVisionModel` that merges."""


class PooledBackbone(TransformersBackbone):
    """Of models with SigLIP's head, which may be left out."""

    prefix: ClassVar[int] = 0

    @property
    def pool(self) -> nn.Module | None:
        return getattr(self.model, "head", None)

    def pool_attention(self, x: Tensor) -> Tensor:
        head: Any = self.model.head
        weights, heads = head.attention, head.attention.num_heads
        bias = (None, None) if weights.in_proj_bias is None else weights.in_proj_bias.chunk(3)[:2]
        query, key = (
            F.linear(part, weight, own).unflatten(-1, (heads, -1)).transpose(1, 2)
            for part, weight, own in zip((head.probe, x), weights.in_proj_weight.chunk(3)[:2], bias, strict=True)
        )
        query = query.expand(x.shape[0], -1, -1, -1)
        return mean_attention(softmax_attention(query, key, query.shape[-1] ** -0.5, None), None)


class SiglipBackbone(PooledBackbone):
    """SigLIP's image towers, alone or in a model that holds one."""

    name = "transformers SigLIP"
    models: ClassVar = {SiglipVisionModel: MergingSiglipVisionModel}


FAMILY = SiglipBackbone
BLOCKS: dict[type[nn.Module], type[MergingBlock]] = {SiglipEncoderLayer: MergingSiglipEncoderLayer}
