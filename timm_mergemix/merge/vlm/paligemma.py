"""PaliGemma of transformers: the language model reads its SigLIP after the last norm."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers.models.paligemma.modeling_paligemma import PaliGemmaForConditionalGeneration, PaliGemmaModel

from ..families.backbone import Backbone
from .reader import MergingGenerator, MergingReader
from .reading import Reading

__all__ = ["READERS", "MergingPaliGemmaForConditionalGeneration", "MergingPaliGemmaModel", "reading", "reason"]


class MergingPaliGemmaModel(MergingReader, PaliGemmaModel):
    """`transformers.PaliGemmaModel` with shorter prompts."""


class MergingPaliGemmaForConditionalGeneration(MergingGenerator, PaliGemmaForConditionalGeneration):
    """`transformers.PaliGemmaForConditionalGeneration` with shorter prompts."""


READERS: dict[type[nn.Module], type[nn.Module]] = {
    PaliGemmaModel: MergingPaliGemmaModel,
    PaliGemmaForConditionalGeneration: MergingPaliGemmaForConditionalGeneration,
}


def reason(model: Any, backbone: Backbone) -> str | None:
    """Why the model is refused, or None."""
    return None


def reading(model: Any, backbone: Backbone, parts: tuple[Any, ...]) -> Reading:
    """How the model reads its vision model; ``parts`` are the model and that inside it."""
    return Reading(parts, READERS, backbone, len(backbone.blocks), backbone.prefix_tokens)
