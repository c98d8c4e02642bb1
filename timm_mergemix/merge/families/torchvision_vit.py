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
from .keys import KeyedBlock, captured_keys, mean_key, projected_key

__all__ = ["BLOCKS", "MergingEncoderBlock", "MergingTorchvisionVit", "TorchvisionVitBackbone"]


class MergingEncoderBlock(KeyedBlock, EncoderBlock):
    """`torchvision.models.vision_transformer.EncoderBlock` that merges.

    `torch.nn.MultiheadAttention` hides its keys. They are projected once more, with the weights that it has just used:
    an adapter may put others there for the time of the call.
    """

    reads_source: ClassVar[bool] = False

    ln_1: nn.Module
    ln_2: nn.Module
    mlp: nn.Module
    dropout: nn.Module
    self_attention: Any

    @classmethod
    def refusal(cls, block: Any) -> str | None:
        if len(_own_attentions(block)) != 1:
            return f"its blocks use {type(block.self_attention).__name__}, which holds no nn.MultiheadAttention"
        return None

    @classmethod
    def attentions(cls, block: Any) -> list[Any]:
        return [block.self_attention]

    @classmethod
    def key_modules(cls, block: Any) -> list[nn.Module]:
        return _own_attentions(block)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return MergingBlock.merge_forward(self, x)

    def attention_branch(self, x: Tensor, context: Context) -> tuple[Tensor, Tensor | None]:
        x = self.ln_1(x)
        with captured_keys(self, *_own_attentions(self), make=_project) as keys:
            branch, _ = self._attend(x, context, need_weights=False)
        return self.dropout(branch), mean_key(keys)

    def mlp_branch(self, x: Tensor) -> Tensor:
        return self.mlp(self.ln_2(x))

    def weigh_attention(self, x: Tensor, queries: slice, context: Context) -> Tensor:
        if type(self.self_attention) is nn.MultiheadAttention:
            return super().weigh_attention(x, queries, context)
        weights: Any = self._attend(self.ln_1(x), context, need_weights=True, average_attn_weights=False)[1]
        return weights[:, :, queries].float()

    def query_key(self, x: Tensor, queries: slice, context: Context) -> tuple[Tensor, Tensor, float]:
        (attn,) = _own_attentions(self)
        qkv = F.linear(self.ln_1(x), attn.in_proj_weight, attn.in_proj_bias)
        query, key, _ = qkv.unflatten(-1, (3, attn.num_heads, attn.head_dim)).permute(2, 0, 3, 1, 4).unbind(0)
        return query[:, :, queries], key, query.shape[-1] ** -0.5

    def _attend(self, x: Tensor, context: Context, **kwargs: bool) -> tuple[Tensor, Tensor | None]:
        bias = None if context.bias is None else context.bias[:, 0, 0]
        return self.self_attention(x, x, x, key_padding_mask=bias, **kwargs)


def _own_attentions(block: Any) -> list[Any]:
    """The `torch.nn.MultiheadAttention` that computes: the block's, or the one inside an adapter around it."""
    attention = block.self_attention
    while not isinstance(attention, nn.MultiheadAttention):
        attention = getattr(attention, "base_layer", None)
        if attention is None:
            return []
    return [attention]


def _project(attention: nn.MultiheadAttention, args: tuple[Tensor, ...], output: object) -> Tensor:
    return projected_key(attention.in_proj_weight, attention.in_proj_bias, attention.num_heads, args[0])


class MergingTorchvisionVit(MergingModel, VisionTransformer):
    """`torchvision.models.VisionTransformer` that merges."""

    def head_reads_patches(self) -> bool:
        return False

    @staticmethod
    def blocks_of(model: Any) -> Any:
        return model.encoder.layers


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
