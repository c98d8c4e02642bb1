"""LLaVA of transformers: the language model reads one layer of its vision model, often the last but one."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers.models.llava.modeling_llava import LlavaForConditionalGeneration, LlavaModel

from ..families.backbone import Backbone
from .reader import MergingGenerator, MergingReader
from .reading import Reading

__all__ = ["READERS", "MergingLlavaForConditionalGeneration", "MergingLlavaModel", "reading", "reason"]


class MergingLlavaModel(MergingReader, LlavaModel):
    """`transformers.LlavaModel` with shorter prompts."""


class MergingLlavaForConditionalGeneration(MergingGenerator, LlavaForConditionalGeneration):
    """`transformers.LlavaForConditionalGeneration` with shorter prompts."""


READERS: dict[type[nn.Module], type[nn.Module]] = {
    LlavaModel: MergingLlavaModel,
    LlavaForConditionalGeneration: MergingLlavaForConditionalGeneration,
}


def reason(model: Any, backbone: Backbone) -> str | None:
    """Why the model is refused, or None."""
    layer = model.config.vision_feature_layer
    if not isinstance(layer, int):
        return f"it reads several layers of its vision model ({layer}), which have different numbers of tokens"
    if _read_after(model, backbone) == 0:
        return "it reads its vision model before the first layer, where nothing has merged"
    rows = model.get_input_embeddings().weight.shape[0]
    if model.config.image_token_id >= rows:
        return f"its image_token_id {model.config.image_token_id} has no row in the table of {rows} token embeddings"
    if _drops_first(model) and not backbone.has_class_token:
        return "it drops the first token of its vision model, which is a patch there"
    return None


def reading(model: Any, backbone: Backbone, parts: tuple[Any, ...]) -> Reading:
    """How the model reads its vision model; ``parts`` are the model and that inside it."""
    config = model.config
    names = ("vision_feature_layer", "vision_feature_select_strategy")
    return Reading(
        parts,
        READERS,
        backbone,
        read_after=_read_after(model, backbone),
        other_tokens=backbone.prefix_tokens - _drops_first(model),
        fixed=tuple((name, getattr(config, name)) for name in names),
    )


def _read_after(model: Any, backbone: Backbone) -> int:
    # The first hidden state is what enters the first layer.
    return model.config.vision_feature_layer % (len(backbone.blocks) + 1)


def _drops_first(model: Any) -> bool:
    return model.config.vision_feature_select_strategy == "default"
