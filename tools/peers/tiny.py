"""Small vision transformers for rows of numbers, which the tests of other packages use as inputs."""

from __future__ import annotations

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from .patched import Patcher


def tiny_vit(side: int, classes: int, patcher: Patcher) -> VisionTransformer:
    """Builds a ViT of two blocks for images (B, 1, side, side), in which each pixel is a patch."""
    return patcher(
        VisionTransformer(
            img_size=side, patch_size=1, in_chans=1, num_classes=classes, embed_dim=20, depth=2, num_heads=2
        )
    )


def images(rows: Tensor) -> Tensor:
    """Maps rows (B, n) to images (B, 1, n, n) of the products of all pairs of numbers in a row."""
    return rows[:, None, :, None] * rows[:, None, None, :]


class NormAndViT(nn.BatchNorm1d):
    """Replaces a batch norm by the norm followed by a ViT.

    Args:
        features: Length of a row.
        patcher: Patches the ViT.
    """

    def __init__(self, features: int, patcher: Patcher) -> None:
        super().__init__(features)
        self.vit = tiny_vit(features, features, patcher)

    def forward(self, input: Tensor) -> Tensor:
        """Maps (B, features) to (B, features)."""
        rows = super().forward(input)
        return rows + self.vit(images(rows))


class RowsViT(nn.Module):
    """Replaces an MLP that maps rows (B, 10) to log-probabilities (B, 2).

    Args:
        patcher: Patches the ViT.

    Attributes:
        dtype: The dtype to which rows are cast; the tests set it.
    """

    def __init__(self, patcher: Patcher) -> None:
        super().__init__()
        self.vit = tiny_vit(10, 2, patcher)
        self.dtype = torch.float

    def forward(self, X: Tensor) -> Tensor:  # noqa: N803, the tests call it by this name
        """Maps rows (B, 10) to log-probabilities (B, 2)."""
        rows = X.to(self.dtype) / 90
        return self.vit(images(rows)).log_softmax(dim=-1)
