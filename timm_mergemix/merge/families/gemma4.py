"""timm's Gemma 4 vision encoder."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from timm.models.gemma4_vit import (
    Gemma4Attention,
    Gemma4Block,
    Gemma4VitClassifier,
    Gemma4VitEncoder,
    apply_multidimensional_rope,
)
from torch import Tensor, nn

from ..blocks import Context, MergingBlock
from .keys import KeyedBlock, captured_keys, mean_key, per_head
from .positions import merge_rope
from .timm_model import MergingTimmModel, TimmBackbone

__all__ = ["BLOCKS", "FAMILY", "Gemma4Backbone", "MergingGemma4Block", "MergingGemma4Vit"]


class MergingGemma4Block(KeyedBlock, Gemma4Block):
    """`timm.models.gemma4_vit.Gemma4Block` that merges."""

    attn: Any
    norm1: nn.Module
    norm2: nn.Module
    norm3: nn.Module
    norm4: nn.Module
    mlp: nn.Module
    drop_path: nn.Module

    @classmethod
    def refusal(cls, block: Any) -> str | None:
        if type(block.attn) is not Gemma4Attention:
            return f"its blocks use {type(block.attn).__name__}, only timm's own is supported"
        return None

    @classmethod
    def key_modules(cls, block: Any) -> list[nn.Module]:
        return [block.attn.k_norm]

    def forward(  # type: ignore[override]
        self, x: Tensor, rope_cos: Tensor, rope_sin: Tensor, attn_mask: Tensor | None = None
    ) -> Tensor:
        return MergingBlock.merge_forward(self, x, rope_cos=rope_cos, rope_sin=rope_sin, attn_mask=attn_mask)

    def attention_branch(self, x: Tensor, context: Context) -> tuple[Tensor, Tensor | None]:
        with captured_keys(self, self.attn.k_norm, make=per_head) as keys:  # its heads come after the norm
            out = self.attn(self.norm1(x), *self._rope(context), attn_mask=context.bias)
        return self.drop_path(self.norm2(out)), mean_key(keys)

    def mlp_branch(self, x: Tensor) -> Tensor:
        return self.drop_path(self.norm4(self.mlp(self.norm3(x))))

    @torch.no_grad()
    def project_keys(self, x: Tensor, context: Context) -> Tensor:
        return self._project(x)[1].mean(dim=2)

    def query_key(self, x: Tensor, queries: slice, context: Context) -> tuple[Tensor, Tensor, float]:
        attn, rope = self.attn, self._rope(context)
        query, key = self._project(x)
        query, key = (apply_multidimensional_rope(part, *rope, ndim=2).transpose(1, 2) for part in (query, key))
        return query[:, :, queries], key.repeat_interleave(attn.num_kv_groups, dim=1), 1.0

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Queries and keys, (B, N, H, D), before they are rotated."""
        attn, x = self.attn, self.norm1(x)
        query = attn.q_norm(attn.q_proj(x).unflatten(-1, (-1, attn.head_dim)))
        return query, attn.k_norm(attn.k_proj(x).unflatten(-1, (-1, attn.head_dim)))

    def _rope(self, context: Context) -> tuple[Tensor, ...]:
        call, source, size, valid = context.call, context.source, context.size, context.valid
        waves = (call["rope_cos"].unsqueeze(1), call["rope_sin"].unsqueeze(1))
        return tuple(merge_rope(wave, source, size, 0, valid).squeeze(1) for wave in waves)


class MergingGemma4Vit(MergingTimmModel, Gemma4VitEncoder):
    """`timm.models.gemma4_vit.Gemma4VitEncoder` that merges."""

    def _encode(
        self, x: Tensor, position_ids: Tensor, padding_positions: Tensor | None, *args: Any, **kwargs: Any
    ) -> Tensor:
        self.merging.take_padding(None if padding_positions is None else ~padding_positions)
        return super()._encode(x, position_ids, padding_positions, *args, **kwargs)


class Gemma4Backbone(TimmBackbone):
    """Gemma 4 vision encoders, alone or in a classifier."""

    name = "timm Gemma4VitEncoder"
    models: ClassVar = {Gemma4VitEncoder: MergingGemma4Vit}
    wrappers: ClassVar = (Gemma4VitClassifier,)

    has_class_token = False

    default_size = None  # the encoder does not keep one

    @property
    def unit(self) -> tuple[int, int]:
        """What the sides of an image must be multiples of: soft pooling averages squares of patches."""
        rows, columns = self.model.patch_size
        side = self.model.pooling_kernel_size if self.model.global_pool == "soft" else 1
        return rows * side, columns * side

    def grid_size(self, height: int, width: int) -> tuple[int, int]:
        rows, columns = self.model.patch_size
        return height // rows, width // columns


FAMILY = Gemma4Backbone
BLOCKS: dict[type[nn.Module], type[MergingBlock]] = {Gemma4Block: MergingGemma4Block}
