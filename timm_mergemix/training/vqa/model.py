"""A small LLaVA with random weights, made of a CLIP vision model and a Llama."""

from __future__ import annotations

from typing import Any

from torch import nn

from ...errors import need
from .words import BEGIN, IMAGE, PAD

__all__ = ["PATCH", "READ", "count_places", "small_llava"]

PATCH = 8
READ = -2  # the layer of the vision model that the language model reads
STD = 0.1


def small_llava(size: int, vocabulary: int, *, width: int = 64, text_width: int = 128) -> Any:
    """Makes a `transformers.LlavaForConditionalGeneration` of half a million parameters, from torch's global seed.

    The language model reads the second of the vision model's three layers. Weights have a standard deviation of 0.1:
    the default of transformers, 0.02, suits widths of about 1,000 and would make this model learn three times as
    slowly.

    Args:
        size: Height and width of the images in pixels, a multiple of 8.
        vocabulary: Number of words.
        width: Channels of the vision model.
        text_width: Channels of the language model.
    """
    transformers: Any = need("transformers", "the demonstration with questions", "vlm-demo")
    vision = transformers.CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=size,
        patch_size=PATCH,
    )
    text = transformers.LlamaConfig(
        hidden_size=text_width,
        intermediate_size=2 * text_width,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        vocab_size=vocabulary,
        pad_token_id=PAD,
        bos_token_id=BEGIN,
        eos_token_id=None,
        use_cache=False,
    )
    config = transformers.LlavaConfig(
        vision_config=vision, text_config=text, image_token_id=IMAGE, vision_feature_layer=READ
    )
    model = transformers.LlavaForConditionalGeneration(config)
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1 and "position" not in name:
            nn.init.normal_(parameter, std=min(STD, parameter[0].numel() ** -0.5) if parameter.ndim > 2 else STD)
    return model


def count_places(model: Any) -> int:
    """Number of image tokens in a prompt: one per patch."""
    vision = model.config.vision_config
    return (vision.image_size // vision.patch_size) ** 2
