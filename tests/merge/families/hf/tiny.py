"""Tiny vision models of transformers, and how they are called; imports nothing of transformers by itself."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from timm_mergemix.merge.families import is_old

from ....models import redraw

WIDTH, HEADS, DEPTH, SIZE, PATCH, CLASSES = 96, 4, 3, 64, 16, 10
TOWERS = (
    "ViTModel",
    "DeiTModel",
    "Dinov2Model",
    "Dinov2WithRegistersModel",
    "DINOv3ViTModel",
    "CLIPVisionModel",
    "SiglipVisionModel",
    "Siglip2VisionModel",
)


def is_known() -> bool:
    """Whether transformers is there in a release whose models are supported."""
    if find_spec("transformers") is None:
        return False
    import transformers

    return not is_old(transformers)


needs_transformers = pytest.mark.skipif(not is_known(), reason="needs transformers 5.18 or newer")

# Family -> name of its model, and of the config; the config's own options.
VISION: dict[str, tuple[str, str, dict[str, Any]]] = {
    "hf vit": ("ViTModel", "ViTConfig", {}),
    "hf deit": ("DeiTModel", "DeiTConfig", {}),
    "hf dinov2": ("Dinov2Model", "Dinov2Config", {}),
    "hf dinov2, SwiGLU": ("Dinov2Model", "Dinov2Config", {"use_swiglu_ffn": True}),
    "hf registers": ("Dinov2WithRegistersModel", "Dinov2WithRegistersConfig", {"num_register_tokens": 3}),
    "hf dinov3": ("DINOv3ViTModel", "DINOv3ViTConfig", {"num_register_tokens": 4}),
    "hf dinov3, no register": ("DINOv3ViTModel", "DINOv3ViTConfig", {"use_gated_mlp": True, "key_bias": True}),
    "hf clip": ("CLIPVisionModel", "CLIPVisionConfig", {}),
    "hf siglip": ("SiglipVisionModel", "SiglipVisionConfig", {}),
    "hf siglip, no head": ("SiglipVisionModel", "SiglipVisionConfig", {"vision_use_head": False}),
    "hf siglip2": ("Siglip2VisionModel", "Siglip2VisionConfig", {"num_patches": 16}),
    "hf vit, classes": ("ViTForImageClassification", "ViTConfig", {}),
    "hf deit, teacher": ("DeiTForImageClassificationWithTeacher", "DeiTConfig", {}),
    "hf dinov2, classes": ("Dinov2ForImageClassification", "Dinov2Config", {}),
    "hf clip, projection": ("CLIPVisionModelWithProjection", "CLIPVisionConfig", {"projection_dim": CLASSES}),
}
# Models of a config that holds one for images and one for text: name of the model, and of both configs.
PAIRED: dict[str, tuple[str, str]] = {
    "hf clip, classes": ("CLIPForImageClassification", "CLIP"),
    "hf siglip, classes": ("SiglipForImageClassification", "Siglip"),
    "hf siglip2, classes": ("Siglip2ForImageClassification", "Siglip2"),
    "hf clip, whole": ("CLIPModel", "CLIP"),
    "hf siglip, whole": ("SiglipModel", "Siglip"),
    "hf siglip2, whole": ("Siglip2Model", "Siglip2"),
}
CASES = [*VISION, *(case for case in PAIRED if "whole" not in case)]
EACH = [case for case in VISION if "," not in case]  # one of each family
VISION_OPTIONS = {"Siglip2": {"num_patches": 16}}


def build(case: str, attention: str = "sdpa", **options: Any) -> Any:
    """The model of a case in eval mode, with redrawn parameters; ``options`` go to the config of its images."""
    import transformers

    if case in PAIRED:
        name, config = PAIRED[case][0], _paired(PAIRED[case][1], options)
    else:
        name, config_name, own = VISION[case]
        config = getattr(transformers, config_name)(**_sizes() | {"num_labels": CLASSES} | own | options)
    torch.manual_seed(0)
    model = getattr(transformers, name)._from_config(config, attn_implementation=attention)
    return redraw(model).eval()


def _sizes() -> dict[str, Any]:
    sizes = {"hidden_size": WIDTH, "num_attention_heads": HEADS, "num_hidden_layers": DEPTH}
    return sizes | {"intermediate_size": 2 * WIDTH, "image_size": SIZE, "patch_size": PATCH}


def _paired(kind: str, options: dict[str, Any]) -> Any:
    import transformers

    text = _sizes() | {"vocab_size": 50, "max_position_embeddings": 8, "projection_size": WIDTH}
    text |= {"bos_token_id": 1, "pad_token_id": 2, "eos_token_id": 49}
    vision = _sizes() | VISION_OPTIONS.get(kind, {}) | options
    extra = {"projection_dim": WIDTH} if kind == "CLIP" else {}
    config = getattr(transformers, f"{kind}Config")
    return config(text_config=text, vision_config=vision, num_labels=CLASSES, **extra)


def is_hf(model: Any) -> bool:
    """Whether it is a model of transformers."""
    return any(base.__name__ == "PreTrainedModel" for base in type(model).__mro__)


def tower(model: nn.Module) -> Any:
    """The vision model inside."""
    return next(part for part in model.modules() if type(part).__name__ in TOWERS)


def layers(model: nn.Module) -> list[Any]:
    """Its layers."""
    kind = "GradientCheckpointingLayer"
    return [part for part in tower(model).modules() if any(base.__name__ == kind for base in type(part).__mro__)]


def attention_of(layer: Any) -> Any:
    """The attention of a layer."""
    return layer.attention if hasattr(layer, "attention") else layer.self_attn


def prefix_tokens(model: nn.Module) -> int:
    """Leading tokens that are not patches."""
    inside = tower(model)
    if "Siglip" in type(inside).__name__:
        return 0
    return 2 if type(inside).__name__ == "DeiTModel" else 1 + getattr(inside.config, "num_register_tokens", 0)


def is_patched_input(model: nn.Module) -> bool:
    """Whether it takes images as patches."""
    return type(tower(model)).__name__ == "Siglip2VisionModel"


def inputs(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Images (B, 3, H, W) as arguments; patches are made by transformers' own function."""
    if not is_patched_input(model):
        return {"pixel_values": x}
    from transformers.models.siglip2.image_processing_pil_siglip2 import convert_image_to_patches

    patches = torch.stack([torch.from_numpy(convert_image_to_patches(image.numpy(), PATCH)) for image in x])
    shapes = torch.tensor([[side // PATCH for side in x.shape[-2:]]] * len(x))
    mask = torch.ones(patches.shape[:2], dtype=torch.int64)
    return {"pixel_values": patches, "pixel_attention_mask": mask, "spatial_shapes": shapes}


def output(model: nn.Module, x: Tensor) -> Tensor:
    """What a model gives for images: logits or embeddings of a head, else pooled output with all tokens."""
    out = model(**inputs(model, x))
    for name in ("logits", "image_embeds"):
        if name in out:
            return out[name]
    tokens, pooled = out.last_hidden_state, out.get("pooler_output")
    return tokens if pooled is None else torch.cat([pooled[:, None], tokens], dim=1)


def hidden_states(model: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
    """All tokens before the first layer and after each."""
    return tower(model)(**inputs(model, x), output_hidden_states=True).hidden_states


def set_checkpointing(model: Any, enable: bool, **kwargs: Any) -> None:
    """Has the layers recompute their activations, by the method that this release does not call deprecated."""
    kind = "activation" if hasattr(model, "activation_checkpointing_enable") else "gradient"
    switch = getattr(model, f"{kind}_checkpointing_{'enable' if enable else 'disable'}")
    switch(**({f"{kind}_checkpointing_kwargs": kwargs} if kwargs else {}))


def attention_maps(model: nn.Module, layer: Any, x: Tensor) -> Tensor:
    """Attention (B, H, N, N) of a layer, as transformers itself returns it."""
    seen: list[Tensor] = []
    attention = attention_of(layer)
    before = attention.config._attn_implementation
    attention.config._attn_implementation = "eager"
    handle = attention.register_forward_hook(lambda module, args, out: seen.append(out[1].detach()))
    with torch.no_grad():
        model(**inputs(model, x))
    handle.remove()
    attention.config._attn_implementation = before
    return seen[-1]


BUILDERS: dict[str, Callable[[], Any]] = {case: (lambda case=case: build(case)) for case in CASES} if is_known() else {}
