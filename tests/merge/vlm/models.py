"""Tiny vision-language models with random weights, and batches of prompts for them."""

import pytest
import torch
from torch import nn

transformers = pytest.importorskip("transformers", minversion="5.18")

IMAGE, VIDEO, PAD = 99, 98, 0
PATCHES = 16
TEXT = {
    "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 12,
    "intermediate_size": 96, "vocab_size": 100, "pad_token_id": PAD, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
VISION = {
    "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 64, "image_size": 32,
    "patch_size": 8,
}  # fmt: skip


def build(cls, config):
    """A model with weights large enough for differences to show, and no token that ends a text."""
    torch.manual_seed(0)
    model = cls(config)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.15)
    if hasattr(model, "generation_config"):
        model.generation_config.eos_token_id = None
    return model.eval()


def llava_config(vision=None, **options):
    vision = transformers.CLIPVisionConfig(**VISION) if vision is None else vision
    text = transformers.LlamaConfig(**TEXT)
    return transformers.LlavaConfig(vision_config=vision, text_config=text, image_token_id=IMAGE, **options)


def llava(**options):
    return build(transformers.LlavaForConditionalGeneration, llava_config(**options))


def paligemma():
    vision = transformers.SiglipVisionConfig(**VISION, vision_use_head=False)
    vision.projection_dim = 48
    text = transformers.GemmaConfig(**TEXT)
    config = transformers.PaliGemmaConfig(
        vision_config=vision, text_config=text, image_token_id=IMAGE, projection_dim=48
    )
    return build(transformers.PaliGemmaForConditionalGeneration, config)


def perception_lm(pooling=1):
    vision = {
        "model_type": "timm_wrapper",
        "architecture": "vit_pe_core_large_patch14_336",
        "do_pooling": False,
        "num_classes": 0,
        "model_args": {
            "embed_dim": 32, "depth": 3, "num_heads": 4, "img_size": [32, 32], "patch_size": 8, "global_pool": "",
            "ref_feat_shape": [4, 4],
        },
    }  # fmt: skip
    config = transformers.PerceptionLMConfig(
        vision_config=vision, text_config=transformers.LlamaConfig(**TEXT).to_dict(), image_token_id=IMAGE,
        video_token_id=VIDEO, projector_pooling_ratio=pooling, vision_use_cls_token=True,
    )  # fmt: skip
    return build(transformers.PerceptionLMForConditionalGeneration, config)


BUILDERS = {"llava": llava, "paligemma": paligemma, "perception_lm": perception_lm}
R = {"llava": ("total", 8), "paligemma": ("total", 7), "perception_lm": ("total", 9)}


def prompts(name, images, left=True, seed=0):
    """A batch of prompts, with so many images in each row; padded to one length."""
    rows = [
        [1, *(t for k in range(count) for t in (10 + k, *[IMAGE] * PATCHES)), 20, 21, 22 + count] for count in images
    ]
    length = max(map(len, rows))
    fills = [[PAD] * (length - len(row)) for row in rows]
    ids = [fill + row if left else row + fill for row, fill in zip(rows, fills, strict=True)]
    masks = [
        [0] * len(f) + [1] * len(row) if left else [1] * len(row) + [0] * len(f)
        for row, f in zip(rows, fills, strict=True)
    ]
    pixels = torch.randn(sum(images), 3, 32, 32, generator=torch.Generator().manual_seed(seed))
    batch = {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(masks), "pixel_values": pixels}
    if name == "paligemma":
        batch["token_type_ids"] = torch.zeros_like(batch["input_ids"])
    if name == "perception_lm":
        batch["pixel_values"] = pixels.unsqueeze(1)
    return batch


def labels_of(batch):
    ids = batch["input_ids"]
    return ids.masked_fill((ids == IMAGE) | (batch["attention_mask"] == 0), -100)


def row_of(name, images, row, seed=0):
    """One row of `prompts` by itself, without padding."""
    whole, single = prompts(name, images, seed=seed), prompts(name, images[row : row + 1])
    first = sum(images[:row])
    single["pixel_values"] = whole["pixel_values"][first : first + images[row]]
    return single
