"""Small vision transformers that take what the models of other packages' tests take: rows of numbers."""

from __future__ import annotations

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from .patched import Patcher


def tiny_vit(side: int, classes: int, patcher: Patcher) -> VisionTransformer:
    """A ViT of two blocks for images (B, 1, side, side), each pixel a patch."""
    return patcher(
        VisionTransformer(
            img_size=side, patch_size=1, in_chans=1, num_classes=classes, embed_dim=20, depth=2, num_heads=2
        )
    )


def images(rows: Tensor) -> Tensor:
    """(B, n) to (B, 1, n, n): the products of each two numbers of a row."""
    return rows[:, None, :, None] * rows[:, None, None, :]


class NormAndViT(nn.BatchNorm1d):
    """In place of a batch norm: the norm, and a ViT on top of it.

    Args:
        features: Numbers in a row.
        patcher: Patches the ViT.
    """

    def __init__(self, features: int, patcher: Patcher) -> None:
        super().__init__(features)
        self.vit = tiny_vit(features, features, patcher)

    def forward(self, input: Tensor) -> Tensor:
        """(B, features) to the same."""
        rows = super().forward(input)
        return rows + self.vit(images(rows))


class RowsViT(nn.Module):
    """In place of an MLP from rows (B, 10) to log-probabilities (B, 2).

    Args:
        patcher: Patches the ViT.

    Attributes:
        dtype: What the rows are cast to, as the tests set it.
    """

    def __init__(self, patcher: Patcher) -> None:
        super().__init__()
        self.vit = tiny_vit(10, 2, patcher)
        self.dtype = torch.float

    def forward(self, X: Tensor) -> Tensor:  # noqa: N803, the tests call it by this name
        """(B, 10) to (B, 2)."""
        rows = X.to(self.dtype) / 90
        return self.vit(images(rows)).log_softmax(dim=-1)
