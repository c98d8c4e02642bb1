"""DINOv2 with registers, of transformers."""

from __future__ import annotations

from typing import ClassVar

from torch import nn
from transformers.models.dinov2_with_registers.modeling_dinov2_with_registers import (
    Dinov2WithRegistersAttention,
    Dinov2WithRegistersLayer,
    Dinov2WithRegistersModel,
)

from ...blocks import MergingBlock
from .dinov2 import Dinov2Backbone, layers_of
from .layer import ScaledLayer
from .model import MergingTransformersModel

__all__ = ["BLOCKS", "FAMILY", "MergingDinov2WithRegistersLayer", "MergingDinov2WithRegistersModel"]


class MergingDinov2WithRegistersLayer(ScaledLayer, Dinov2WithRegistersLayer):
    """`Dinov2WithRegistersLayer` of transformers that merges."""

    attention_class: ClassVar[type[nn.Module]] = Dinov2WithRegistersAttention


class MergingDinov2WithRegistersModel(MergingTransformersModel, Dinov2WithRegistersModel):
    """`transformers.Dinov2WithRegistersModel` that merges."""

    blocks_of = staticmethod(layers_of)


class RegistersBackbone(Dinov2Backbone):
    """DINOv2 with registers, alone or in a model with a head."""

    name = "transformers DINOv2 with registers"
    models: ClassVar = {Dinov2WithRegistersModel: MergingDinov2WithRegistersModel}


FAMILY = RegistersBackbone
BLOCKS: dict[type[nn.Module], type[MergingBlock]] = {Dinov2WithRegistersLayer: MergingDinov2WithRegistersLayer}
