"""timm's Cait: talking-heads attention over the patches, then class attention."""

from __future__ import annotations

from typing import Any, ClassVar

from timm.models.cait import Cait, LayerScaleBlock, TalkingHeadAttn
from torch import Tensor, nn

from ..autocast import without_autocast
from ..blocks import Context, MergingBlock
from ..record import mean_attention, softmax_attention
from .keys import KeyedBlock, captured_keys, mean_key
from .lent import attach, detach, lend
from .timm_model import MergingTimmModel, TimmBackbone

__all__ = ["BLOCKS", "CaitBackbone", "MergingCait", "MergingCaitBlock"]


class MergingCaitBlock(KeyedBlock, LayerScaleBlock):
    """`timm.models.cait.LayerScaleBlock` that merges.

    Its attention mixes heads before the softmax and after it, and takes no mask. The log-size bias belongs between the
    first mixing and the softmax. The second mixing has an offset, which each member of a token would have got.
    """

    attn: Any
    norm1: nn.Module
    norm2: nn.Module
    mlp: nn.Module
    drop_path: nn.Module
    gamma_1: Tensor
    gamma_2: Tensor

    @classmethod
    def refusal(cls, block: Any) -> str | None:
        if type(block.attn) is not TalkingHeadAttn:
            return f"its blocks use {type(block.attn).__name__}, only TalkingHeadAttn is supported"
        return None

    @classmethod
    def key_modules(cls, block: Any) -> list[nn.Module]:
        return [block.attn.qkv]

    @classmethod
    def touched(cls, block: Any) -> list[nn.Module]:
        return [*super().touched(block), block.attn.proj_l, block.attn.proj_w]

    @classmethod
    def attach(cls, block: Any) -> None:
        super().attach(block)
        for mixing in (block.attn.proj_l, block.attn.proj_w):
            attach(mixing)

    @classmethod
    def detach(cls, block: Any) -> None:
        super().detach(block)
        for module in block.modules():
            detach(module)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return MergingBlock.merge_forward(self, x)

    def attention_branch(self, x: Tensor, context: Context) -> tuple[Tensor, Tensor | None]:
        (bias, offset), x = self._addends(x, context), self.norm1(x)
        with (
            captured_keys(self, self.attn.qkv, make=self._mean_key) as keys,
            lend(self.merging.here, self.attn.proj_l, bias),
            lend(self.merging.here, self.attn.proj_w, offset),
        ):
            out = self.attn(x)
        return self.drop_path(self.gamma_1 * out), mean_key(keys)

    def mlp_branch(self, x: Tensor) -> Tensor:
        return self.drop_path(self.gamma_2 * self.mlp(self.norm2(x)))

    def query_key(self, x: Tensor, queries: slice, context: Context) -> tuple[Tensor, Tensor, float]:
        qkv = self.attn.qkv(self.norm1(x)).unflatten(-1, (3, self.attn.num_heads, -1)).permute(2, 0, 3, 1, 4)
        return qkv[0, :, :, queries], qkv[1], self.attn.scale

    def weigh_attention(self, x: Tensor, queries: slice, context: Context) -> Tensor:
        """The attention weights after the softmax; the mixing after it may count a token negatively."""
        query, key, scale = self.query_key(x, queries, context)
        with without_autocast(x.device.type):
            logits = ((query.float() * scale) @ key.float().mT).permute(0, 2, 3, 1)  # (B, Q, N, H)
        logits, (bias, _) = self.attn.proj_l(logits.to(query.dtype)).float(), self._addends(x, context)
        return (logits if bias is None else logits + bias).softmax(dim=2).permute(0, 3, 1, 2)

    def _mean_key(self, module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output.detach().chunk(3, dim=-1)[1].unflatten(-1, (self.attn.num_heads, -1)).mean(dim=-2)

    def _addends(self, x: Tensor, context: Context) -> tuple[Tensor | None, Tensor | None]:
        """Log-sizes (B, 1, N, 1) after the first mixing, and (B, 1, N, H) after the second one, or None."""
        if context.bias is None or context.size is None:
            return None, None
        more = (context.size - 1.0)[:, None, :, None]
        offset = self.attn.proj_w(x.new_zeros(1, 1, 1, self.attn.num_heads))  # whatever module it is
        return context.bias.transpose(-2, -1), (more * offset).to(context.bias.dtype)


class MergingCait(MergingTimmModel, Cait):
    """`timm.models.cait.Cait` that merges."""

    def head_reads_patches(self) -> bool:
        """True: its class attention reads them."""
        return True


class CaitBackbone(TimmBackbone):
    """CaiT."""

    name = "timm Cait"
    models: ClassVar = {Cait: MergingCait}

    prefix_tokens = 0  # the class token comes after the blocks

    has_class_token = False

    @property
    def pool(self) -> nn.Module | None:
        """The last class attention, or None in a pruned model."""
        return self.model.blocks_token_only[-1].attn if self.model.blocks_token_only else None

    def pool_attention(self, x: Tensor) -> Tensor:
        attn = self.pool
        query, key = attn.q(x[:, :1]), attn.k(x)  # type: ignore[union-attr, operator]
        query, key = (part.unflatten(-1, (attn.num_heads, -1)).transpose(1, 2) for part in (query, key))  # type: ignore
        return mean_attention(softmax_attention(query, key, attn.scale, None), None)[:, 1:]  # type: ignore[arg-type, union-attr]


BLOCKS: dict[type[nn.Module], type[MergingBlock]] = {LayerScaleBlock: MergingCaitBlock}
