"""A lower bound for the cost of merging: blocks drop r tokens after attention, without matching or gathering."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from timm_mergemix.errors import wrong
from timm_mergemix.merge.schedule import R, parse, resolve

__all__ = ["IdealBlock", "make_ideal"]


class IdealBlock(nn.Module):
    """timm's plain block, which drops r tokens after its attention.

    Args:
        block: The block whose layers are used.
        r: Number of tokens that it drops.
    """

    def __init__(self, block: Any, r: int) -> None:
        super().__init__()
        self.block = block
        self.r = r

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, **_: Any) -> Tensor:
        """(B, N, C) -> (B, N - r, C)."""
        block = self.block
        x = x + block.drop_path1(block.ls1(block.attn(block.norm1(x))))
        if self.r:
            x = x[:, : -self.r]
        return x + block.drop_path2(block.ls2(block.mlp(block.norm2(x))))


def make_ideal(model: nn.Module, r: R) -> nn.Module:
    """Returns a copy of a model that drops as many tokens in each block as `timm_mergemix.patch` would merge.

    Args:
        model: An unpatched timm ``VisionTransformer`` of plain blocks, with a class token or prefix tokens before the
            pool, so that its head does not need the dropped tokens.
        r: Token merging in any form that `patch` takes.

    Raises:
        MergeMixError: If the model is of another kind.
    """
    ideal: Any = deepcopy(model)
    if type(ideal) is not VisionTransformer or any(type(block) is not Block for block in ideal.blocks):
        raise wrong("model", model, "an unpatched timm VisionTransformer of plain blocks")
    merges = resolve(parse(r, len(ideal.blocks)), ideal.patch_embed.num_patches)
    ideal.blocks = nn.Sequential(*(IdealBlock(block, k) for block, k in zip(ideal.blocks, merges, strict=True)))
    return ideal
