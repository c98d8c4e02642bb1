"""timm's Beit: BEiT and BEiT v2, with a relative position bias per block or shared."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from timm.models.beit import Attention, Beit, Block
from torch import Tensor, nn

from ..blocks import Context, MergingBlock
from .branches import PreNormBlock
from .keys import projected_key
from .lent import Borrower, borrowed, lend
from .relative import RelativeBiasBlock
from .timm_model import MergingTimmModel, TimmBackbone

__all__ = ["BLOCKS", "BeitBackbone", "MergingBeit", "MergingBeitAttention", "MergingBeitBlock"]


class MergingBeitAttention(Borrower, Attention):
    """`timm.models.beit.Attention` whose own position bias a block can replace."""

    def _get_rel_pos_bias(self) -> Tensor:
        lent = borrowed(self)
        return super()._get_rel_pos_bias() if lent is None else lent


class MergingBeitBlock(RelativeBiasBlock, PreNormBlock, Block):
    """`timm.models.beit.Block` that merges."""

    @classmethod
    def refusal(cls, block: Any) -> str | None:
        if type(block.attn) not in (Attention, MergingBeitAttention):
            return f"its blocks use {type(block.attn).__name__}, only timm's own is supported"
        return None

    @classmethod
    def touched(cls, block: Any) -> list[nn.Module]:
        return [block.attn]

    @classmethod
    def attach(cls, block: Any) -> None:
        block.attn.__class__ = MergingBeitAttention

    @classmethod
    def detach(cls, block: Any) -> None:
        if type(block.attn) is MergingBeitAttention:
            block.attn.__class__ = Attention

    def forward(self, x: Tensor, shared_rel_pos_bias: Tensor | None = None) -> Tensor:  # type: ignore[override]
        return self.merge_forward(x, shared_rel_pos_bias=shared_rel_pos_bias)

    def attend(self, x: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        bias = self.logit_bias(context)
        if self.attn.relative_position_bias_table is None:
            out = self.attn(x, shared_rel_pos_bias=bias)
        else:
            with lend(self.attn, bias):
                out = self.attn(x)
        return out, projected_key(self.attn, x, self._projection_bias())

    def project(self, x: Tensor, queries: slice, context: Context) -> tuple[Tensor, Tensor, float]:
        attn, bias = self.attn, self._projection_bias()
        qkv = attn.qkv(x) if bias is None else F.linear(x, attn.qkv.weight, bias)
        query, key, _ = qkv.unflatten(-1, (3, attn.num_heads, -1)).permute(2, 0, 3, 1, 4)
        return query[:, :, queries], key, attn.scale

    def position_bias(self, context: Context) -> Tensor | None:
        shared = context.call["shared_rel_pos_bias"]
        if self.attn.relative_position_bias_table is None:
            return shared
        own = self.attn._get_rel_pos_bias()
        return own if shared is None else own + shared

    def _projection_bias(self) -> Tensor | None:
        attn = self.attn
        return None if attn.q_bias is None else torch.cat((attn.q_bias, attn.k_bias, attn.v_bias))


class MergingBeit(MergingTimmModel, Beit):
    """`timm.models.beit.Beit` that merges."""


class BeitBackbone(TimmBackbone):
    """BEiT and BEiT v2."""

    name = "timm Beit"
    models: ClassVar = {Beit: MergingBeit}

    has_class_token = True


BLOCKS: dict[type[nn.Module], type[MergingBlock]] = {Block: MergingBeitBlock}
