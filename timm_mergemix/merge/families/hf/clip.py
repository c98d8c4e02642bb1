"""The image towers of CLIP."""

from __future__ import annotations

from typing import ClassVar

from torch import nn
from transformers.models.clip.modeling_clip import CLIPAttention, CLIPEncoderLayer, CLIPVisionModel

from ...blocks import MergingBlock
from .layer import UnscaledLayer
from .model import MergingTransformersModel, TransformersBackbone

__all__ = ["BLOCKS", "FAMILY", "MergingCLIPEncoderLayer", "MergingCLIPVisionModel"]


class MergingCLIPEncoderLayer(UnscaledLayer, CLIPEncoderLayer):
    """`transformers.models.clip.modeling_clip.CLIPEncoderLayer` that merges."""

    attention_class: ClassVar[type[nn.Module]] = CLIPAttention


class MergingCLIPVisionModel(MergingTransformersModel, CLIPVisionModel):
    """`transformers.CLIPVisionModel` that merges."""


class CLIPBackbone(TransformersBackbone):
    """CLIP's image towers, alone or in a model that holds one."""

    name = "transformers CLIP"
    models: ClassVar = {CLIPVisionModel: MergingCLIPVisionModel}


FAMILY = CLIPBackbone
BLOCKS: dict[type[nn.Module], type[MergingBlock]] = {CLIPEncoderLayer: MergingCLIPEncoderLayer}
