"""The one table of tiny models: each family, and each variety of it that changes what merging must do."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import timm
import torch
from timm.models.vision_transformer import Attention, VisionTransformer
from torch import Tensor, nn

from ...models import redraw, tiny, tiny_torchvision
from .hf import tiny as hf

WIDTH = 96
Table = dict[str, tuple[str, dict[str, Any]]]

# timm's VisionTransformer with its plain blocks: what they are made of, then what reads them.
VIT: Table = {
    "vit": ("vit_tiny_patch16_224", {}),
    "distilled": ("deit_tiny_distilled_patch16_224", {}),
    "LayerScale": ("deit3_small_patch16_224", {}),
    "dinov2": ("vit_small_patch14_dinov2", {}),
    "registers": ("vit_small_patch14_reg4_dinov2", {}),
    "clip": ("vit_base_patch16_clip_224", {}),
    "aimv2": ("aimv2_large_patch14_224", {}),
    "flexivit": ("flexivit_small", {}),
    "qk-norm": ("vit_tiny_patch16_224", {"qk_norm": True}),
    "attention norm": ("vit_tiny_patch16_224", {"scale_attn_norm": True}),
    "attention pool": ("vit_base_patch16_siglip_224", {}),
    "attention pool, class token": ("vit_tiny_patch16_224", {"global_pool": "map"}),
    "attention pool over all": ("vit_tiny_patch16_224", {"global_pool": "map", "pool_include_prefix": True}),
    "average": ("vit_tiny_patch16_224", {"global_pool": "avg"}),
    "average, registers": ("vit_betwixt_patch16_reg4_gap_256", {}),
    "average, no class token": ("vit_medium_patch16_gap_256", {}),
    "average, siglip": ("vit_base_patch16_siglip_gap_224", {}),
    "maximum": ("vit_tiny_patch16_224", {"global_pool": "max"}),
    "average and maximum": ("vit_tiny_patch16_224", {"global_pool": "avgmax"}),
    "no pool": ("vit_tiny_patch16_224", {"global_pool": ""}),
    "no classes": ("vit_tiny_patch16_224", {"num_classes": 0}),
    "no pool, no classes": ("vit_tiny_patch16_224", {"global_pool": "", "num_classes": 0}),
}
if "prr" in str(inspect.signature(VisionTransformer)):
    VIT["patch representation refinement"] = ("vit_tiny_patch16_224", {"global_pool": "prr"})

HALF = {"num_heads": 2}
OTHER_VIT: Table = {
    "post-norm": ("vit_base_patch16_rpn_224", {}),
    "parallel things": ("vit_small_patch16_18x2_224", {}),
    "parallel scaling": ("vit_base_patch16_xp_224", {}),
    "differential": ("vit_dlittle_patch16_reg1_gap_256", HALF),
    "differential, parallel": ("vit_dpwee_patch16_reg1_gap_256", HALF),
    "hybrid": ("vit_tiny_r_s16_p8_224", {"img_size": 128}),
}
EVA: Table = {
    "eva": ("eva_large_patch14_196", {}),
    "eva02": ("eva02_tiny_patch14_224", {}),
    "eva02 clip": ("eva02_base_patch16_clip_224", {}),
    "intern": ("vit_intern300m_patch14_448", {}),
    "perception encoder": ("vit_pe_core_tiny_patch16_384", {}),
    "rope": ("vit_small_patch16_rope_224", {}),
    "rope, register": ("vit_medium_patch16_rope_reg1_gap_256", {}),
    "rope, mixed": ("vit_small_patch16_rope_mixed_224", {}),
    "dinov3": ("vit_small_patch16_dinov3", {}),
    "dinov3, qkv bias": ("vit_base_patch16_dinov3_qkvb", {}),
}
BEIT: Table = {
    "beit": ("beit_base_patch16_224", {}),
    "beit, shared bias": ("beitv2_base_patch16_224", {"use_rel_pos_bias": False, "use_shared_rel_pos_bias": True}),
    "beit, both biases": ("beit_base_patch16_224", {"use_shared_rel_pos_bias": True}),
    "beit, no bias": (
        "beit_base_patch16_224",
        {"use_rel_pos_bias": False, "use_abs_pos_emb": True, "init_values": None},
    ),
}
RELPOS: Table = {
    "relpos": ("vit_relpos_small_patch16_224", {}),
    "relpos, class token": ("vit_relpos_base_patch16_cls_224", {}),
    "relpos, table": ("vit_relpos_base_patch16_224", {"rel_pos_type": "bias"}),
    "relpos, shared": ("vit_srelpos_small_patch16_224", {}),
    "relpos, post-norm": ("vit_relpos_medium_patch16_rpn_224", {}),
}
CAIT: Table = {"cait": ("cait_xxs24_224", {})}
NAFLEX: Table = {
    "naflex": ("naflexvit_base_patch16_gap", {}),
    "naflex, class token": ("naflexvit_base_patch16_gap", {"class_token": True, "global_pool": "token"}),
    "naflex, key-only mask": ("naflexvit_base_patch16_gap", {"use_key_only_attn_mask": True}),
    "naflex, attention pool": ("naflexvit_base_patch16_siglip", {}),
    "naflex, maximum": ("naflexvit_base_patch16_gap", {"global_pool": "max"}),
    "naflex, factorised": ("naflexvit_base_patch16_parfac_gap", {}),
    "naflex, rope": ("naflexvit_base_patch16_gap", {"rope_type": "axial"}),
    "naflex, mixed rope": ("naflexvit_base_patch16_gap", {"rope_type": "mixed"}),
}
TOKENS_OUT = {"num_classes": None, "out_features": 20}
SMALL_GEMMA = {"head_dim": 32, "intermediate_size": 100, "img_size": 96}
ENCODERS: Table = {
    "deepseek": ("deepseek_vit_412m", {"img_size": 56}),
    "deepseek, aligner": ("deepseek_vit_412m_enc", {"img_size": 56} | TOKENS_OUT),
    "qwen3": ("qwen3_vit_88m", {}),
    "qwen3, merger": ("qwen3_vit_88m_enc", TOKENS_OUT),
    "gemma4": ("gemma4_vit_167m", SMALL_GEMMA),
    "gemma4, soft pool": ("gemma4_vit_167m_enc", SMALL_GEMMA | {"num_classes": None}),
    "gemma4, grouped heads": ("gemma4_vit_167m", SMALL_GEMMA | {"num_kv_heads": 1}),
}
CASES: Table = VIT | OTHER_VIT | EVA | BEIT | RELPOS | CAIT | NAFLEX | ENCODERS


def build(case: str, seed: int = 0, **options: Any) -> nn.Module:
    """The model of a case; ``options`` come before those of the table."""
    name, given = CASES[case]
    return tiny(name, seed, **{"embed_dim": WIDTH, **given, **options})


def gated() -> nn.Module:
    """Plain blocks with gated attention, an option of timm's Attention that no model has by name."""
    model = build("vit")
    for block in model.blocks:
        block.attn = Attention(WIDTH, block.attn.num_heads, qkv_bias=True, gated=True)
    return redraw(model).eval()


def known(table: Table) -> list[str]:
    """The cases of a table whose models this release of timm knows."""
    return [case for case, (name, _) in table.items() if timm.is_model(name)]


BUILDERS: dict[str, Callable[[], nn.Module]] = {
    **{case: partial(build, case) for case in known(CASES)},
    **({"gated": gated} if "gated" in inspect.signature(Attention).parameters else {}),
    "torchvision": partial(tiny_torchvision, hidden_dim=WIDTH),
    **hf.BUILDERS,
}
VITS = [case for case in BUILDERS if case in VIT or case == "gated"]

each_case = pytest.mark.parametrize("case", BUILDERS)
each_case_but_torchvision = pytest.mark.parametrize("case", [case for case in BUILDERS if case != "torchvision"])
each_vit = pytest.mark.parametrize("case", VITS)


def is_torchvision(model: nn.Module) -> bool:
    """Whether it is torchvision's."""
    return hasattr(model, "image_size")


def size_of(model: nn.Module) -> int:
    """Side in pixels of the images that a case is run on: 4 x 4 patches, of 14 pixels where 16 do not fit."""
    if is_torchvision(model):
        return model.image_size
    if hf.is_hf(model):
        return hf.SIZE
    inner = getattr(model, "encoder", model)
    if hasattr(inner, "pooling_kernel_size"):  # Gemma pools squares of 3 x 3 patches
        return 6 * 16
    return getattr(inner.patch_embed, "img_size", (64,))[0] if hasattr(inner, "patch_embed") else 64


def images(model: nn.Module, batch: int = 2, seed: int = 0) -> Tensor:
    """Images in [0, 1]; Gemma wants them so, the others take any."""
    size = size_of(model)
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(seed))


def output(model: nn.Module, x: Tensor) -> Tensor:
    """What a model gives for images, as one tensor."""
    return hf.output(model, x) if hf.is_hf(getattr(model, "_orig_mod", model)) else model(x)


def features(model: nn.Module, x: Tensor) -> Tensor:
    """All tokens after the last block, of a model without a classifier around it."""
    return model(**hf.inputs(model, x)).last_hidden_state if hf.is_hf(model) else model.forward_features(x)


def intermediates(model: nn.Module, x: Tensor) -> list[Tensor]:
    """All tokens after each block, likewise."""
    if hf.is_hf(model):
        return list(hf.hidden_states(model, x))
    return model.forward_intermediates(x, intermediates_only=True)


def set_checkpointing(model: Any, enable: bool) -> None:
    """Has the blocks recompute their activations in the backward pass, or not."""
    if hf.is_hf(model):
        hf.set_checkpointing(model, enable)
    else:
        model.set_grad_checkpointing(enable)


def transformer(model: nn.Module) -> nn.Module:
    """The model without a classifier around it."""
    if hf.is_hf(model):
        return hf.tower(model)
    return getattr(model, "encoder", model) if not is_torchvision(model) else model


def blocks(model: nn.Module) -> list[nn.Module]:
    """The blocks of a case."""
    if hf.is_hf(model):
        return hf.layers(model)
    return list(model.encoder.layers if is_torchvision(model) else transformer(model).blocks)


def prefix_tokens(model: nn.Module) -> int:
    """Leading tokens that are not patches, inside the blocks."""
    if hf.is_hf(model):
        return hf.prefix_tokens(model)
    if hasattr(model, "blocks_token_only"):
        return 0
    return 1 if is_torchvision(model) else transformer(model).num_prefix_tokens


def has_class_token(model: nn.Module) -> bool:
    """Whether the first token is a class token, inside the blocks."""
    if hf.is_hf(model) or is_torchvision(model):
        return prefix_tokens(model) > 0
    own = getattr(transformer(model), "cls_token", None) is not None
    embedded = hasattr(model, "embeds") and model.embeds.cls_token is not None
    return bool(prefix_tokens(model)) and (own or embedded)


def patches_of(case: str) -> int:
    """Patches of the images that a case is run on."""
    return 36 if case.startswith("gemma") else 16
