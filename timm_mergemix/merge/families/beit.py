"""timm's Beit: BEiT and BEiT v2, with a relative position bias per block or shared."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from timm.models.beit import Attention, Beit, Block
from torch import Tensor, nn

from ..blocks import Context, MergingBlock
from .branches import PreNormBlock
from .keys import KeyedBlock, captured_keys, mean_key, projected_key
from .lent import Borrower, borrowed, lend
from .relative import RelativeBiasBlock
from .timm_model import MergingTimmModel, TimmBackbone

__all__ = ["BLOCKS", "BeitBackbone", "MergingBeit", "MergingBeitAttention", "MergingBeitBlock"]


class MergingBeitAttention(Borrower, Attention):
    """`timm.models.beit.Attention` whose own position bias a block can replace."""

    def _get_rel_pos_bias(self) -> Tensor:
        lent = borrowed(self)
        return super()._get_rel_pos_bias() if lent is None else lent


class MergingBeitBlock(KeyedBlock, RelativeBiasBlock, PreNormBlock, Block):
    """`timm.models.beit.Block` that merges."""

    @classmethod
    def refusal(cls, block: Any) -> str | None:
        if type(block.attn) not in (Attention, MergingBeitAttention):
            return f"its blocks use {type(block.attn).__name__}, only timm's own is supported"
        return None

    @classmethod
    def key_modules(cls, block: Any) -> list[nn.Module]:
        return [block.attn.qkv] if _calls_projection(block.attn) else []

    @classmethod
    def touched(cls, block: Any) -> list[nn.Module]:
        return [*super().touched(block), block.attn]

    @classmethod
    def attach(cls, block: Any) -> None:
        super().attach(block)
        block.attn.__class__ = MergingBeitAttention

    @classmethod
    def detach(cls, block: Any) -> None:
        super().detach(block)
        if type(block.attn) is MergingBeitAttention:
            block.attn.__class__ = Attention

    def forward(self, x: Tensor, shared_rel_pos_bias: Tensor | None = None) -> Tensor:  # type: ignore[override]
        return MergingBlock.merge_forward(self, x, shared_rel_pos_bias=shared_rel_pos_bias)

    def attend(self, x: Tensor, context: Context) -> tuple[Tensor, Tensor | None]:
        attn, bias = self.attn, self.logit_bias(context)
        with captured_keys(self, *self.key_modules(self), make=self._mean_key) as keys:
            if attn.relative_position_bias_table is None:
                out = attn(x, shared_rel_pos_bias=bias)
            else:
                with lend(self.merging.here, attn, bias):
                    out = attn(x)
        if _calls_projection(attn):
            return out, mean_key(keys)
        return out, projected_key(attn.qkv.weight, self._projection_bias(), attn.num_heads, x)

    def project(self, x: Tensor, queries: slice, context: Context) -> tuple[Tensor, Tensor, float]:
        attn, bias = self.attn, self._projection_bias()
        if _calls_projection(attn):
            qkv = attn.qkv(x) if bias is None else attn.qkv(x) + bias
        else:
            qkv = F.linear(x, attn.qkv.weight, bias)
        query, key, _ = qkv.unflatten(-1, (3, attn.num_heads, -1)).permute(2, 0, 3, 1, 4)
        return query[:, :, queries], key, attn.scale

    def position_bias(self, context: Context) -> Tensor | None:
        shared = context.call["shared_rel_pos_bias"]
        if self.attn.relative_position_bias_table is None:
            return shared
        own = self.attn._get_rel_pos_bias()
        return own if shared is None else own + shared

    def _mean_key(self, module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        bias = self._projection_bias()  # added to what the projection returns
        qkv = output.detach() if bias is None else output.detach() + bias
        return qkv.chunk(3, dim=-1)[1].unflatten(-1, (self.attn.num_heads, -1)).mean(dim=-2)

    def _projection_bias(self) -> Tensor | None:
        attn = self.attn
        return None if attn.q_bias is None else torch.cat((attn.q_bias, attn.k_bias, attn.v_bias))


def _calls_projection(attn: Any) -> bool:
    """Whether the attention calls its projection; else it reads the weight, to add a bias that is kept apart."""
    return attn.q_bias is None or attn.qkv_bias_separate


class MergingBeit(MergingTimmModel, Beit):
    """`timm.models.beit.Beit` that merges."""


class BeitBackbone(TimmBackbone):
    """BEiT and BEiT v2."""

    name = "timm Beit"
    models: ClassVar = {Beit: MergingBeit}

    has_class_token = True


BLOCKS: dict[type[nn.Module], type[MergingBlock]] = {Block: MergingBeitBlock}
