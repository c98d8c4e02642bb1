"""DINOv2 of transformers."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import nn
from transformers.models.dinov2.modeling_dinov2 import Dinov2Attention, Dinov2Layer, Dinov2Model

from ...blocks import MergingBlock
from .layer import ScaledLayer
from .model import MergingTransformersModel, TransformersBackbone

__all__ = ["BLOCKS", "FAMILY", "Dinov2Backbone", "MergingDinov2Layer", "MergingDinov2Model", "layers_of"]


class MergingDinov2Layer(ScaledLayer, Dinov2Layer):
    """`transformers.models.dinov2.modeling_dinov2.Dinov2Layer` that merges."""

    attention_class: ClassVar[type[nn.Module]] = Dinov2Attention


def layers_of(model: Any) -> Any:
    """The layers of a model whose encoder calls them ``layer``."""
    return model.encoder.layer


class MergingDinov2Model(MergingTransformersModel, Dinov2Model):
    """`transformers.Dinov2Model` that merges."""

    blocks_of = staticmethod(layers_of)


class Dinov2Backbone(TransformersBackbone):
    """DINOv2, alone or in a model with a head."""

    name = "transformers DINOv2"
    models: ClassVar = {Dinov2Model: MergingDinov2Model}

    takes_any_size = True


FAMILY = Dinov2Backbone
BLOCKS: dict[type[nn.Module], type[MergingBlock]] = {Dinov2Layer: MergingDinov2Layer}
