"""Tiny models for the tests, with parameters that hide no error."""

from __future__ import annotations

import timm
import torch
from timm.models.vision_transformer import Attention
from torch import nn
from torchvision.models import VisionTransformer as TorchvisionVit

# Each is timm's own model of that name, made small: the options that matter (LayerScale, registers, qk-norm, gates,
# heads, prefix tokens) stay as they are.
NAMES = [
    "vit_tiny_patch16_224",
    "deit_tiny_distilled_patch16_224",
    "deit3_small_patch16_224",
    "vit_small_patch14_dinov2",
    "vit_small_patch14_reg4_dinov2",
    "vit_base_patch16_clip_224",
    "vit_base_patch16_siglip_224",
    "vit_base_patch16_siglip_gap_224",
    "vit_betwixt_patch16_reg4_gap_256",
    "aimv2_large_patch14_224",
    "flexivit_small",
    "vit_medium_patch16_gap_256",
]


def redraw(model: nn.Module, seed: int = 0) -> nn.Module:
    """Redraws all parameters: gains and LayerScale gammas near 1, everything else well away from 0."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(std=0.3 / max(1, parameter.shape[-1]) ** 0.5, generator=generator)
            if parameter.ndim == 1 and name.endswith(("weight", "gamma")):
                parameter.add_(1.0)
            elif parameter.ndim != 2:
                parameter.mul_(3.0)
            else:
                parameter.mul_(4.0)
    return model


def tiny(name: str = "vit_tiny_patch16_224", seed: int = 0, **options: object) -> nn.Module:
    """A timm model of depth 3, width 48, on 64-pixel images with 16 (or 14) pixel patches, in eval mode."""
    patch = 14 if "patch14" in name else 16
    settings = {"img_size": 4 * patch, "depth": 3, "embed_dim": 48, "num_heads": 3, "num_classes": 10} | options
    torch.manual_seed(seed)
    return redraw(timm.create_model(name, **settings), seed).eval()


def tiny_torchvision(seed: int = 0, **options: object) -> nn.Module:
    """A torchvision ViT of depth 3, width 48, on 64-pixel images, in eval mode."""
    settings = {
        "image_size": 64,
        "patch_size": 16,
        "num_layers": 3,
        "num_heads": 3,
        "hidden_dim": 48,
        "mlp_dim": 96,
        "num_classes": 10,
    } | options
    return redraw(TorchvisionVit(**settings), seed).eval()


def images(model: nn.Module, batch: int = 2, seed: int = 0) -> torch.Tensor:
    """Normally distributed images of the size that the model was made for."""
    size = getattr(model, "image_size", None) or model.patch_embed.img_size[0]
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(seed))


def gate(model: nn.Module, seed: int = 0) -> nn.Module:
    """Gives each block gated attention, an option of timm's Attention that no model of plain blocks has by name."""
    for block in model.blocks:
        width = block.attn.qkv.in_features
        block.attn = Attention(width, block.attn.num_heads, qkv_bias=True, gated=True)
    return redraw(model, seed).eval()
