"""DeiT of transformers: a class token and a distillation token."""

from __future__ import annotations

from typing import ClassVar

from torch import nn
from transformers.models.deit.modeling_deit import DeiTAttention, DeiTLayer, DeiTModel

from ...blocks import MergingBlock
from .model import MergingTransformersModel, TransformersBackbone
from .vit import DroppedLayer, layers_of

__all__ = ["BLOCKS", "FAMILY", "MergingDeiTLayer", "MergingDeiTModel"]


class MergingDeiTLayer(DroppedLayer, DeiTLayer):
    """`transformers.models.deit.modeling_deit.DeiTLayer` that merges."""

    attention_class: ClassVar[type[nn.Module]] = DeiTAttention


class MergingDeiTModel(MergingTransformersModel, DeiTModel):
    """`transformers.DeiTModel` that merges."""

    blocks_of = staticmethod(layers_of)


class DeiTBackbone(TransformersBackbone):
    """DeiT, alone or in a model with a head."""

    name = "transformers DeiT"
    models: ClassVar = {DeiTModel: MergingDeiTModel}

    prefix: ClassVar[int] = 2


FAMILY = DeiTBackbone
BLOCKS: dict[type[nn.Module], type[MergingBlock]] = {DeiTLayer: MergingDeiTLayer}
