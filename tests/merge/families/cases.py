"""One tiny model for each family and each option that changes what merging must do."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import timm
import torch
from torch import Tensor, nn

from ...models import redraw, tiny_torchvision

WIDTH = 96


def build(name: str, **options: object) -> nn.Module:
    """timm's model of that name, made small; an option of None is left to timm."""
    patch = 14 if "patch14" in name else 16
    settings = {"img_size": 4 * patch, "depth": 3, "embed_dim": WIDTH, "num_heads": 3, "num_classes": 10} | options
    torch.manual_seed(0)
    given = {key: value for key, value in settings.items() if value is not None}
    return redraw(timm.create_model(name, **given)).eval()


def size_of(model: nn.Module) -> int:
    """Side in pixels of the images that a case is run on: 4 x 4 patches, of 14 pixels where 16 do not fit."""
    if hasattr(model, "image_size"):
        return model.image_size
    inner = getattr(model, "encoder", model)
    if hasattr(inner, "pooling_kernel_size"):  # Gemma pools squares of 3 x 3 patches
        return 6 * 16
    return getattr(inner.patch_embed, "img_size", (64,))[0] if hasattr(inner, "patch_embed") else 64


def images(model: nn.Module, batch: int = 2, seed: int = 0) -> Tensor:
    """Images in [0, 1]; Gemma wants them so, the others take any."""
    size = size_of(model)
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(seed))


def transformer(model: nn.Module) -> nn.Module:
    """The model without a classifier around it."""
    return getattr(model, "encoder", model) if not hasattr(model, "image_size") else model


def blocks(model: nn.Module) -> list[nn.Module]:
    """The blocks of a case."""
    return list(model.encoder.layers if hasattr(model, "image_size") else transformer(model).blocks)


def prefix_tokens(model: nn.Module) -> int:
    """Leading tokens that are no patches, inside the blocks."""
    if hasattr(model, "blocks_token_only"):
        return 0
    return 1 if hasattr(model, "image_size") else transformer(model).num_prefix_tokens


HALF = {"num_heads": 2}
TOKENS_OUT = {"num_classes": None, "out_features": 20}
SMALL_GEMMA = {"head_dim": 32, "intermediate_size": 100, "img_size": 96}

CASES: dict[str, tuple[str, dict[str, object]]] = {
    "vit": ("vit_tiny_patch16_224", {}),
    "distilled": ("deit_tiny_distilled_patch16_224", {}),
    "LayerScale": ("deit3_small_patch16_224", {}),
    "registers": ("vit_small_patch14_reg4_dinov2", {}),
    "attention pool": ("vit_base_patch16_siglip_224", {}),
    "post-norm": ("vit_base_patch16_rpn_224", {}),
    "parallel things": ("vit_small_patch16_18x2_224", {}),
    "parallel scaling": ("vit_base_patch16_xp_224", {}),
    "differential": ("vit_dlittle_patch16_reg1_gap_256", HALF),
    "differential, parallel": ("vit_dpwee_patch16_reg1_gap_256", HALF),
    "hybrid": ("vit_tiny_r_s16_p8_224", {"img_size": 128}),
    "eva": ("eva_large_patch14_196", {}),
    "eva02": ("eva02_tiny_patch14_224", {}),
    "eva02 clip": ("eva02_base_patch16_clip_224", {}),
    "intern": ("vit_intern300m_patch14_448", {}),
    "perception encoder": ("vit_pe_core_tiny_patch16_384", {}),
    "rope, register": ("vit_medium_patch16_rope_reg1_gap_256", {}),
    "rope": ("vit_small_patch16_rope_224", {}),
    "rope, mixed": ("vit_small_patch16_rope_mixed_224", {}),
    "dinov3": ("vit_small_patch16_dinov3", {}),
    "dinov3, qkv bias": ("vit_base_patch16_dinov3_qkvb", {}),
    "beit": ("beit_base_patch16_224", {}),
    "beit, shared bias": ("beitv2_base_patch16_224", {"use_rel_pos_bias": False, "use_shared_rel_pos_bias": True}),
    "beit, both biases": ("beit_base_patch16_224", {"use_shared_rel_pos_bias": True}),
    "beit, no bias": (
        "beit_base_patch16_224",
        {"use_rel_pos_bias": False, "use_abs_pos_emb": True, "init_values": None},
    ),
    "relpos": ("vit_relpos_small_patch16_224", {}),
    "relpos, class token": ("vit_relpos_base_patch16_cls_224", {}),
    "relpos, table": ("vit_relpos_base_patch16_224", {"rel_pos_type": "bias"}),
    "relpos, shared": ("vit_srelpos_small_patch16_224", {}),
    "relpos, post-norm": ("vit_relpos_medium_patch16_rpn_224", {}),
    "cait": ("cait_xxs24_224", {}),
    "naflex": ("naflexvit_base_patch16_gap", {}),
    "naflex, attention pool": ("naflexvit_base_patch16_siglip", {}),
    "naflex, factorised": ("naflexvit_base_patch16_parfac_gap", {}),
    "naflex, rope": ("naflexvit_base_patch16_gap", {"rope_type": "axial"}),
    "naflex, mixed rope": ("naflexvit_base_patch16_gap", {"rope_type": "mixed"}),
    "deepseek": ("deepseek_vit_412m", {"img_size": 56}),
    "deepseek, aligner": ("deepseek_vit_412m_enc", {"img_size": 56} | TOKENS_OUT),
    "qwen3": ("qwen3_vit_88m", {}),
    "qwen3, merger": ("qwen3_vit_88m_enc", TOKENS_OUT),
    "gemma4": ("gemma4_vit_167m", SMALL_GEMMA),
    "gemma4, soft pool": ("gemma4_vit_167m_enc", SMALL_GEMMA | {"num_classes": None}),
    "gemma4, grouped heads": ("gemma4_vit_167m", SMALL_GEMMA | {"num_kv_heads": 1}),
}
BUILDERS: dict[str, Callable[[], nn.Module]] = {
    # Releases of timm differ in the models that they know.
    **{case: partial(build, name, **options) for case, (name, options) in CASES.items() if timm.is_model(name)},
    "torchvision": tiny_torchvision,
}

each_case = pytest.mark.parametrize("case", BUILDERS)
