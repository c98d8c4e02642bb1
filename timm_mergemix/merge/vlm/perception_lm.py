"""PerceptionLM of transformers, where its projector does not pool: its vision model is one of timm's."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers.models.perception_lm.modeling_perception_lm import (
    PerceptionLMForConditionalGeneration,
    PerceptionLMModel,
)

from ..families.backbone import Backbone
from .reader import MergingGenerator, MergingReader
from .reading import IMAGE, Kind, Reading

__all__ = ["READERS", "MergingPerceptionLMForConditionalGeneration", "MergingPerceptionLMModel", "reading", "reason"]

VIDEO = Kind("video", "pixel_values_videos", "video_token_id")


class MergingPerceptionLMModel(MergingReader, PerceptionLMModel):
    """`transformers.PerceptionLMModel` with shorter prompts."""


class MergingPerceptionLMForConditionalGeneration(MergingGenerator, PerceptionLMForConditionalGeneration):
    """`transformers.PerceptionLMForConditionalGeneration` with shorter prompts."""

    def get_image_features(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the same method of the model inside."""
        return self.model.get_image_features(*args, **kwargs)


READERS: dict[type[nn.Module], type[nn.Module]] = {
    PerceptionLMModel: MergingPerceptionLMModel,
    PerceptionLMForConditionalGeneration: MergingPerceptionLMForConditionalGeneration,
}


def reason(model: Any, backbone: Backbone) -> str | None:
    """Why the model is refused, or None."""
    ratio = model.config.projector_pooling_ratio
    if ratio > 1:
        return (
            f"its projector pools {ratio} x {ratio} patches of the grid (projector_pooling_ratio={ratio}), so fewer "
            "tokens do not fit; its vision model can be patched by itself, and then gives all tokens back"
        )
    return None


def reading(model: Any, backbone: Backbone, parts: tuple[Any, ...]) -> Reading:
    """How the model reads its vision model; ``parts`` are the model and that inside it."""
    drops = int(model.config.vision_use_cls_token)
    other = backbone.prefix_tokens - drops
    return Reading(parts, READERS, backbone, len(backbone.blocks), other, kinds=(IMAGE, VIDEO))
