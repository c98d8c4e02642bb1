"""timm's Eva: EVA, EVA-02, DINOv3, Perception Encoder, and ViTs with rotary positions."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from timm.layers import AttentionRope, apply_rot_embed_cat
from timm.models.eva import Eva, EvaAttention, EvaBlock, EvaBlockPostNorm
from torch import Tensor, nn

from ..blocks import Context, MergingBlock
from .branches import PostNormBlock, PreNormBlock
from .keys import KeyedBlock, captured_keys, mean_key
from .positions import merge_rope
from .timm_model import MergingTimmModel, TimmBackbone

__all__ = ["BLOCKS", "EvaBackbone", "MergingEva", "MergingEvaBlock", "MergingEvaBlockPostNorm", "RopeBlock"]


class RopeBlock(KeyedBlock):
    """What blocks share that pass rotary positions to their attention."""

    attn: Any

    @classmethod
    def refusal(cls, block: Any) -> str | None:
        if type(block.attn) not in (EvaAttention, AttentionRope):
            return f"its blocks use {type(block.attn).__name__}, known are EvaAttention and AttentionRope"
        return None

    @classmethod
    def key_modules(cls, block: Any) -> list[nn.Module]:
        return [block.attn.k_norm]

    def forward(  # type: ignore[override]
        self, x: Tensor, rope: Tensor | None = None, attn_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        causal = {} if is_causal is False else {"is_causal": is_causal}  # older releases of timm do not have it
        return MergingBlock.merge_forward(self, x, rope=rope, attn_mask=attn_mask, **causal)

    def attend(self, x: Tensor, context: Context) -> tuple[Tensor, Tensor | None]:
        with captured_keys(self, self.attn.k_norm) as keys:
            out = self.attn(x, rope=self._rope(context), attn_mask=context.bias)
        return out, mean_key(keys)

    def project_keys(self, x: Tensor, context: Context) -> Tensor:
        unrotated = Context(context.size, context.source, context.bias, {"rope": None}, context.valid)
        return super().project_keys(x, unrotated)

    def project(self, x: Tensor, queries: slice, context: Context) -> tuple[Tensor, Tensor, float]:
        query, key = _project(self.attn, x)
        query, key = self.attn.q_norm(query), self.attn.k_norm(key)
        rope, prefix = self._rope(context), self.attn.num_prefix_tokens
        if rope is not None:
            half = {"half": True} if getattr(self.attn, "rotate_half", False) else {}
            query, key = (
                torch.cat([part[:, :, :prefix], apply_rot_embed_cat(part[:, :, prefix:], rope, **half)], dim=2)
                for part in (query, key)
            )
        groups = query.shape[1] // key.shape[1]
        return query[:, :, queries], key.repeat_interleave(groups, dim=1), self.attn.scale

    def _rope(self, context: Context) -> Tensor | None:
        rope = context.call["rope"]
        if rope is None:
            return None
        return merge_rope(rope, context.source, context.size, self.attn.num_prefix_tokens, context.valid)


class MergingEvaBlock(RopeBlock, PreNormBlock, EvaBlock):
    """`timm.models.eva.EvaBlock` that merges."""


class MergingEvaBlockPostNorm(RopeBlock, PostNormBlock, EvaBlockPostNorm):
    """`timm.models.eva.EvaBlockPostNorm` that merges."""


def _project(attn: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and keys, (B, H, N, D) each, before their norms."""
    if attn.qkv is None:
        size = attn.q_proj.out_features // attn.num_heads
        parts = [attn.q_proj(x), attn.k_proj(x)]
    else:
        # Older EvaAttention keeps its biases apart and adds them to the weight's product itself.
        q_bias = getattr(attn, "q_bias", None)
        if q_bias is None:
            qkv = attn.qkv(x)
        else:
            qkv = F.linear(x, attn.qkv.weight, torch.cat((q_bias, attn.k_bias, attn.v_bias)))
        size = qkv.shape[-1] // (3 * attn.num_heads)
        parts = list(qkv.chunk(3, dim=-1)[:2])
    query, key = (part.unflatten(-1, (-1, size)).transpose(1, 2) for part in parts)
    return query, key


class MergingEva(MergingTimmModel, Eva):
    """`timm.models.eva.Eva` that merges."""


class EvaBackbone(TimmBackbone):
    """EVA, EVA-02, DINOv3, Perception Encoder, ViTs with rotary positions."""

    name = "timm Eva"
    models: ClassVar = {Eva: MergingEva}

    @property
    def has_class_token(self) -> bool:
        return self.model.cls_token is not None


BLOCKS: dict[type[nn.Module], type[MergingBlock]] = {
    EvaBlock: MergingEvaBlock,
    EvaBlockPostNorm: MergingEvaBlockPostNorm,
}
