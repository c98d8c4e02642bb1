"""timm's VisionTransformerRelPos, with a relative position bias from a table or an MLP, per block or shared."""

from __future__ import annotations

from typing import Any, ClassVar

from timm.layers import RelPosBias, RelPosMlp
from timm.models.vision_transformer_relpos import (
    RelPosAttention,
    RelPosBlock,
    ResPostRelPosBlock,
    VisionTransformerRelPos,
)
from torch import Tensor, nn

from ..blocks import Context, MergingBlock
from .branches import PostNormBlock, PreNormBlock
from .keys import KeyedBlock, captured_keys, mean_key
from .lent import Borrower, borrowed, lend
from .relative import RelativeBiasBlock
from .timm_model import MergingTimmModel, TimmBackbone
from .vit import project

__all__ = ["BLOCKS", "MergingRelPosBlock", "MergingResPostRelPosBlock", "MergingVitRelPos", "RelPosBackbone"]


class MergingRelPosBias(Borrower, RelPosBias):
    """`timm.layers.RelPosBias` whose bias a block can replace."""

    def get_bias(self) -> Tensor:
        """The bias that was lent, else the table's, (1, H, N, N)."""
        lent = borrowed(self)
        return super().get_bias() if lent is None else lent


class MergingRelPosMlp(Borrower, RelPosMlp):
    """`timm.layers.RelPosMlp` whose bias a block can replace."""

    def get_bias(self) -> Tensor:
        """The bias that was lent, else the MLP's, (1, H, N, N)."""
        lent = borrowed(self)
        return super().get_bias() if lent is None else lent


LENDING: dict[type[nn.Module], type[nn.Module]] = {RelPosBias: MergingRelPosBias, RelPosMlp: MergingRelPosMlp}
PLAIN = {merging: plain for plain, merging in LENDING.items()}


class RelPosAttentionBlock(KeyedBlock, RelativeBiasBlock):
    """What the two kinds of block share."""

    attn: Any

    @classmethod
    def refusal(cls, block: Any) -> str | None:
        if type(block.attn) is not RelPosAttention:
            return f"its blocks use {type(block.attn).__name__}, only timm's own is supported"
        kind = type(block.attn.rel_pos)
        if block.attn.rel_pos is not None and kind not in LENDING and kind not in PLAIN:
            return f"its positions are a {kind.__name__}, known are RelPosBias and RelPosMlp"
        return None

    @classmethod
    def key_modules(cls, block: Any) -> list[nn.Module]:
        return [block.attn.k_norm]

    @classmethod
    def touched(cls, block: Any) -> list[nn.Module]:
        positions = block.attn.rel_pos
        return super().touched(block) + ([] if positions is None else [positions])

    @classmethod
    def attach(cls, block: Any) -> None:
        super().attach(block)
        positions = block.attn.rel_pos
        if type(positions) in LENDING:
            positions.__class__ = LENDING[type(positions)]

    @classmethod
    def detach(cls, block: Any) -> None:
        super().detach(block)
        if type(block.attn.rel_pos) in PLAIN:
            block.attn.rel_pos.__class__ = PLAIN[type(block.attn.rel_pos)]

    def forward(self, x: Tensor, shared_rel_pos: Tensor | None = None) -> Tensor:  # type: ignore[override]
        return MergingBlock.merge_forward(self, x, shared_rel_pos=shared_rel_pos)

    def attend(self, x: Tensor, context: Context) -> tuple[Tensor, Tensor | None]:
        bias, positions = self.logit_bias(context), self.attn.rel_pos
        with captured_keys(self, self.attn.k_norm) as keys:
            if positions is None:
                out = self.attn(x, shared_rel_pos=bias)
            else:
                with lend(self.merging.here, positions, bias):
                    out = self.attn(x)
        return out, mean_key(keys)

    def project(self, x: Tensor, queries: slice, context: Context) -> tuple[Tensor, Tensor, float]:
        return project(self.attn, x, queries)

    def position_bias(self, context: Context) -> Tensor | None:
        positions = self.attn.rel_pos
        return context.call["shared_rel_pos"] if positions is None else positions.get_bias()


class MergingRelPosBlock(RelPosAttentionBlock, PreNormBlock, RelPosBlock):
    """`timm.models.vision_transformer_relpos.RelPosBlock` that merges."""


class MergingResPostRelPosBlock(RelPosAttentionBlock, PostNormBlock, ResPostRelPosBlock):
    """`timm.models.vision_transformer_relpos.ResPostRelPosBlock` that merges."""


class MergingVitRelPos(MergingTimmModel, VisionTransformerRelPos):
    """`timm.models.vision_transformer_relpos.VisionTransformerRelPos` that merges."""


class RelPosBackbone(TimmBackbone):
    """ViTs with relative position bias: vit_relpos_*, vit_srelpos_*."""

    name = "timm VisionTransformerRelPos"
    models: ClassVar = {VisionTransformerRelPos: MergingVitRelPos}

    @property
    def has_class_token(self) -> bool:
        return self.model.cls_token is not None


BLOCKS: dict[type[nn.Module], type[MergingBlock]] = {
    RelPosBlock: MergingRelPosBlock,
    ResPostRelPosBlock: MergingResPostRelPosBlock,
}
