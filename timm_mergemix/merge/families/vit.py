"""timm's VisionTransformer, with each kind of block that it is built from."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from timm.layers import Format, PatchEmbed
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import (
    Attention,
    Block,
    ParallelScalingBlock,
    ParallelThingsBlock,
    ResPostBlock,
    VisionTransformer,
)
from torch import Tensor, nn

from ..blocks import Context, MergingBlock
from .branches import PostNormBlock, PreNormBlock
from .differential import DIFFERENTIAL, heads_of, weigh_differences
from .keys import KeyedBlock, captured_keys, mean_key, per_head
from .timm_model import MergingTimmModel, TimmBackbone

__all__ = ["BLOCKS", "MergingVisionTransformer", "MergingVisionTransformerDistilled", "MergingVitBlock", "VitBackbone"]


class PlainAttentionBlock(KeyedBlock):
    """What blocks share whose attention is timm's plain or its differential one."""

    reads_source: ClassVar[bool] = False

    @classmethod
    def refusal(cls, block: Any) -> str | None:
        for attn in cls.attentions(block):
            if type(attn) not in (Attention, *DIFFERENTIAL):
                return f"its blocks use {type(attn).__name__}, only timm's plain and differential ones are supported"
        return None

    @classmethod
    def key_modules(cls, block: Any) -> list[nn.Module]:
        return [attn.k_norm for attn in cls.attentions(block)]

    def weigh_attention(self, x: Tensor, queries: slice, context: Context) -> Tensor:
        return weigh_differences(self.attentions(self), super().weigh_attention(x, queries, context))


class SingleAttentionBlock(PlainAttentionBlock):
    """Of these the blocks with one attention, before or after a norm."""

    attn: Any

    def attend(self, x: Tensor, context: Context) -> tuple[Tensor, Tensor | None]:
        with captured_keys(self, self.attn.k_norm) as keys:
            out = self.attn(x, attn_mask=context.bias)
        return out, mean_key(keys)

    def project(self, x: Tensor, queries: slice, context: Context) -> tuple[Tensor, Tensor, float]:
        return project(self.attn, x, queries)


class MergingVitBlock(SingleAttentionBlock, PreNormBlock, Block):
    """`timm.models.vision_transformer.Block` that merges."""


class MergingResPostBlock(SingleAttentionBlock, PostNormBlock, ResPostBlock):
    """`timm.models.vision_transformer.ResPostBlock` that merges."""


class MergingParallelThingsBlock(PlainAttentionBlock, ParallelThingsBlock):
    """`timm.models.vision_transformer.ParallelThingsBlock` that merges, by the mean key of its attentions."""

    attns: Any
    ffns: Any

    @classmethod
    def attentions(cls, block: Any) -> list[Any]:
        return [attn.attn for attn in block.attns]

    def attention_branch(self, x: Tensor, context: Context) -> tuple[Tensor, Tensor | None]:
        with captured_keys(self, *(attn.attn.k_norm for attn in self.attns)) as keys:
            branches = [attn.drop_path(attn.ls(attn.attn(attn.norm(x), attn_mask=context.bias))) for attn in self.attns]
        return torch.stack(branches).sum(dim=0), mean_key(keys)

    def mlp_branch(self, x: Tensor) -> Tensor:
        return torch.stack([ffn(x) for ffn in self.ffns]).sum(dim=0)

    def query_key(self, x: Tensor, queries: slice, context: Context) -> tuple[Tensor, Tensor, float]:
        parts = [project(attn.attn, attn.norm(x), queries) for attn in self.attns]
        query, key = (torch.cat(tensors, dim=1) for tensors in list(zip(*parts, strict=True))[:2])
        return query, key, parts[0][2]


class MergingParallelScalingBlock(KeyedBlock, ParallelScalingBlock):
    """`timm.models.vision_transformer.ParallelScalingBlock` that merges at its end, since its MLP runs beside."""

    reads_source: ClassVar[bool] = False

    in_norm: nn.Module
    in_proj: nn.Linear
    in_split: list[int]
    k_norm: nn.Module
    mlp_bias: Tensor
    qkv_bias: Tensor
    q_norm: nn.Module
    num_heads: int
    scale: float

    @classmethod
    def key_modules(cls, block: Any) -> list[nn.Module]:
        return [block.k_norm]

    def attention_branch(self, x: Tensor, context: Context) -> tuple[Tensor, Tensor | None]:
        with captured_keys(self, self.k_norm, make=per_head) as keys:  # its heads come after the norm
            out = ParallelScalingBlock.forward(self, x, attn_mask=context.bias)
        return out - x, mean_key(keys)

    def mlp_branch(self, x: Tensor) -> None:
        """None: the attention branch holds the MLP too."""

    def query_key(self, x: Tensor, queries: slice, context: Context) -> tuple[Tensor, Tensor, float]:
        x = self.in_norm(x)
        if getattr(self, "qkv_bias", None) is None:
            x = self.in_proj(x)
        else:  # older releases of timm add their biases here, in this order
            x = F.linear(x, self.in_proj.weight, torch.cat((self.qkv_bias, self.mlp_bias)))
        _, query, key, _ = torch.split(x, self.in_split, dim=-1)
        query, key = (each.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for each in (query, key))
        return self.q_norm(query[:, :, queries]), self.k_norm(key), self.scale


def project(attn: Any, x: Tensor, queries: slice) -> tuple[Tensor, Tensor, float]:
    """Queries, keys and scale of timm's plain or differential attention for its input (B, N, C)."""
    qkv = attn.qkv(x).unflatten(-1, (3, heads_of(attn), -1)).permute(2, 0, 3, 1, 4)
    return attn.q_norm(qkv[0, :, :, queries]), attn.k_norm(qkv[1]), attn.scale


class MergingVisionTransformer(MergingTimmModel, VisionTransformer):
    """`timm.models.vision_transformer.VisionTransformer` that merges."""


class MergingVisionTransformerDistilled(MergingTimmModel, VisionTransformerDistilled):
    """`timm.models.deit.VisionTransformerDistilled` that merges."""

    def head_reads_patches(self) -> bool:
        return False


class VitBackbone(TimmBackbone):
    """vit, deit, deit3, DINOv2, CLIP, SigLIP, AIMv2, flexivit, ..."""

    name = "timm VisionTransformer"
    models: ClassVar = {
        VisionTransformer: MergingVisionTransformer,
        VisionTransformerDistilled: MergingVisionTransformerDistilled,
    }

    def allow_any_size(self) -> None:
        """Makes the model take images of any size: timm resamples position embeddings with `dynamic_img_size`."""
        stem = self.model.patch_embed
        if self.model.dynamic_img_size or type(stem) is not PatchEmbed or _pools_by_position(self.model):
            return
        self.model.dynamic_img_size = True
        stem.strict_img_size, stem.flatten, stem.output_fmt = False, False, Format.NHWC


def _pools_by_position(model: Any) -> bool:
    return getattr(getattr(model, "attn_pool", None), "pos_embed", None) is not None


BLOCKS: dict[type[nn.Module], type[MergingBlock]] = {
    Block: MergingVitBlock,
    ResPostBlock: MergingResPostBlock,
    ParallelThingsBlock: MergingParallelThingsBlock,
    ParallelScalingBlock: MergingParallelScalingBlock,
}
