"""torchvision's vit_*."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.vision_transformer import EncoderBlock, VisionTransformer

from ..blocks import Context, MergingBlock
from ..model import MergingModel
from .backbone import Backbone

__all__ = ["BLOCKS", "MergingEncoderBlock", "MergingTorchvisionVit", "TorchvisionVitBackbone"]


class MergingEncoderBlock(MergingBlock, EncoderBlock):
    """`torchvision.models.vision_transformer.EncoderBlock` that merges.

    `torch.nn.MultiheadAttention` hides its keys and takes no mask over keys alone, so its projections are used here.
    """

    ln_1: nn.Module
    ln_2: nn.Module
    mlp: nn.Module
    dropout: nn.Module
    self_attention: nn.MultiheadAttention

    @classmethod
    def refusal(cls, block: Any) -> str | None:
        attention = block.self_attention
        if type(attention) is not nn.MultiheadAttention:
            return f"its blocks use {type(attention).__name__}, only torch's own MultiheadAttention is supported"
        return None

    @classmethod
    def attentions(cls, block: Any) -> list[Any]:
        return [block.self_attention]

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return self.merge_forward(x)

    def attention_branch(self, x: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        attn = self.self_attention
        query, key, value = self._project(self.ln_1(x))
        dropout = attn.dropout if self.training else 0.0
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=context.bias, dropout_p=dropout)
        branch = attn.out_proj(out.transpose(1, 2).flatten(2))
        return self.dropout(branch), key.detach().mean(dim=1)

    def mlp_branch(self, x: Tensor) -> Tensor:
        return self.mlp(self.ln_2(x))

    def query_key(self, x: Tensor, queries: slice, context: Context) -> tuple[Tensor, Tensor, float]:
        query, key, _ = self._project(self.ln_1(x))
        return query[:, :, queries], key, query.shape[-1] ** -0.5

    def _project(self, x: Tensor) -> tuple[Tensor, ...]:
        attn = self.self_attention
        qkv = F.linear(x, attn.in_proj_weight, attn.in_proj_bias)
        return qkv.unflatten(-1, (3, attn.num_heads, attn.head_dim)).permute(2, 0, 3, 1, 4).unbind(0)


class MergingTorchvisionVit(MergingModel, VisionTransformer):
    """`torchvision.models.VisionTransformer` that merges."""

    def head_reads_patches(self) -> bool:
        return False


class TorchvisionVitBackbone(Backbone):
    """torchvision's vit_b_16, vit_b_32, vit_l_16, vit_l_32, vit_h_14."""

    name = "torchvision VisionTransformer"
    models: ClassVar = {VisionTransformer: MergingTorchvisionVit}

    def find_blocks(self) -> Sequence[nn.Module]:
        return list(self.model.encoder.layers)

    prefix_tokens = 1

    has_class_token = True

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        return self.default_size

    def grid_size(self, height: int, width: int) -> tuple[int, int]:
        return height // self.model.patch_size, width // self.model.patch_size

    @property
    def default_size(self) -> tuple[int, int]:
        return self.model.image_size, self.model.image_size

    @property
    def in_channels(self) -> int:
        first = next(m for m in self.model.conv_proj.modules() if isinstance(m, nn.Conv2d))
        return first.in_channels

    def features(self, images: Tensor) -> Tensor:
        patches = self.model._process_input(images)
        return self.model.encoder(torch.cat([self.model.class_token.expand(len(patches), -1, -1), patches], dim=1))


BLOCKS: dict[type[nn.Module], type[MergingBlock]] = {EncoderBlock: MergingEncoderBlock}
