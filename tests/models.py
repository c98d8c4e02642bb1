"""Tiny models for the tests, with parameters redrawn so that they do not hide errors."""

from __future__ import annotations

import timm
import torch
from torch import nn
from torchvision.models import VisionTransformer as TorchvisionVit


def redraw(model: nn.Module, seed: int = 0) -> nn.Module:
    """Redraws all parameters: gains and LayerScale gammas near 1, everything else well away from 0."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            width = parameter.shape[-1] if parameter.ndim else 1
            parameter.normal_(std=0.3 / max(1, width) ** 0.5, generator=generator)
            if parameter.ndim == 1 and name.endswith(("weight", "gamma")):
                parameter.add_(1.0)
            elif parameter.ndim != 2:
                parameter.mul_(3.0)
            else:
                parameter.mul_(4.0)
    return model


def tiny(name: str = "vit_tiny_patch16_224", seed: int = 0, **options: object) -> nn.Module:
    """A timm model of depth 3, width 48, on images of 4 x 4 patches, in eval mode; its other options are timm's own.

    An option of None keeps timm's default. The models of the merging tests are in merge/families/cases.py.
    """
    patch = 14 if "patch14" in name else 16
    settings = {"img_size": 4 * patch, "depth": 3, "embed_dim": 48, "num_heads": 3, "num_classes": 10} | options
    torch.manual_seed(seed)
    given = {key: value for key, value in settings.items() if value is not None}
    return redraw(timm.create_model(name, **given), seed).eval()


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


def tiny_convnet(name: str = "test_resnet", **options: object) -> nn.Module:
    """One of timm's models for tests, whose tokens cannot merge, with 10 classes, in eval mode."""
    torch.manual_seed(0)
    return timm.create_model(name, **{"num_classes": 10} | options).eval()


def tiny_swin(**options: object) -> nn.Module:
    """A Swin Transformer of two stages on 32-pixel images, in eval mode."""
    settings = {"img_size": 32, "window_size": 4, "embed_dim": 8, "depths": (1, 1), "num_heads": (1, 2)}
    return tiny_convnet("swin_tiny_patch4_window7_224", **settings | options)
