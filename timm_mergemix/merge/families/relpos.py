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
from .keys import KeyedBlock, captured_keys, mean_key
from .lent import Borrower, borrowed, lend
from .relative import RelativeBiasBlock
from .timm_model import MergingTimmModel, TimmFamily
from .vit import project

__all__ = ["BLOCKS", "MergingRelPosBlock", "MergingResPostRelPosBlock", "MergingVitRelPos", "RelPosFamily"]


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
    norm1: nn.Module
    norm2: nn.Module
    mlp: nn.Module
    drop_path1: nn.Module
    drop_path2: nn.Module

    @classmethod
    def refusal(cls, block: Any) -> str | None:
        """See `MergingBlock`."""
        if type(block.attn) is not RelPosAttention:
            return f"its blocks use {type(block.attn).__name__}, only timm's own is supported"
        kind = type(block.attn.rel_pos)
        if block.attn.rel_pos is not None and kind not in LENDING and kind not in PLAIN:
            return f"its positions are a {kind.__name__}, known are RelPosBias and RelPosMlp"
        return None

    @classmethod
    def key_norms(cls, block: Any) -> list[nn.Module]:
        """See `KeyedBlock`."""
        return [block.attn.k_norm]

    @classmethod
    def touched(cls, block: Any) -> list[nn.Module]:
        """See `MergingBlock`."""
        positions = block.attn.rel_pos
        return super().touched(block) + ([] if positions is None else [positions])

    @classmethod
    def attach(cls, block: Any) -> None:
        """See `MergingBlock`."""
        super().attach(block)
        if block.attn.rel_pos is not None:
            block.attn.rel_pos.__class__ = LENDING[type(block.attn.rel_pos)]

    @classmethod
    def detach(cls, block: Any) -> None:
        """See `MergingBlock`."""
        super().detach(block)
        if type(block.attn.rel_pos) in PLAIN:
            block.attn.rel_pos.__class__ = PLAIN[type(block.attn.rel_pos)]

    def forward(self, x: Tensor, shared_rel_pos: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """See `MergingBlock`."""
        return self.merge_forward(x, shared_rel_pos=shared_rel_pos)

    def attend(self, x: Tensor, context: Context) -> tuple[Tensor, Tensor | None]:
        """Output of the attention for its input (B, N, C), and its keys averaged over heads."""
        bias, positions = self.logit_bias(context), self.attn.rel_pos
        with captured_keys(self, self.attn.k_norm) as keys:
            if positions is None:
                out = self.attn(x, shared_rel_pos=bias)
            else:
                with lend(positions, bias):
                    out = self.attn(x)
        return out, mean_key(keys)

    def position_bias(self, context: Context) -> Tensor | None:
        """See `RelativeBiasBlock`."""
        positions = self.attn.rel_pos
        return context.call["shared_rel_pos"] if positions is None else positions.get_bias()


class MergingRelPosBlock(RelPosAttentionBlock, RelPosBlock):
    """`timm.models.vision_transformer_relpos.RelPosBlock` that merges."""

    ls1: nn.Module
    ls2: nn.Module

    def attention_branch(self, x: Tensor, context: Context) -> tuple[Tensor, Tensor | None]:
        """See `MergingBlock`."""
        out, keys = self.attend(self.norm1(x), context)
        return self.drop_path1(self.ls1(out)), keys

    def mlp_branch(self, x: Tensor) -> Tensor:
        """See `MergingBlock`."""
        return self.drop_path2(self.ls2(self.mlp(self.norm2(x))))

    def query_key(self, x: Tensor, queries: slice, context: Context) -> tuple[Tensor, Tensor, float]:
        """See `MergingBlock`."""
        return project(self.attn, self.norm1(x), queries)


class MergingResPostRelPosBlock(RelPosAttentionBlock, ResPostRelPosBlock):
    """`timm.models.vision_transformer_relpos.ResPostRelPosBlock` that merges."""

    def attention_branch(self, x: Tensor, context: Context) -> tuple[Tensor, Tensor | None]:
        """See `MergingBlock`."""
        out, keys = self.attend(x, context)
        return self.drop_path1(self.norm1(out)), keys

    def mlp_branch(self, x: Tensor) -> Tensor:
        """See `MergingBlock`."""
        return self.drop_path2(self.norm2(self.mlp(x)))

    def query_key(self, x: Tensor, queries: slice, context: Context) -> tuple[Tensor, Tensor, float]:
        """See `MergingBlock`."""
        return project(self.attn, x, queries)


class MergingVitRelPos(MergingTimmModel, VisionTransformerRelPos):
    """`timm.models.vision_transformer_relpos.VisionTransformerRelPos` that merges."""


class RelPosFamily(TimmFamily):
    """ViTs with relative position bias: vit_relpos_*, vit_srelpos_*."""

    name = "timm VisionTransformerRelPos"
    models: ClassVar = {VisionTransformerRelPos: MergingVitRelPos}

    def has_class_token(self, model: Any) -> bool:
        """See `Family`."""
        return model.cls_token is not None


BLOCKS: dict[type[nn.Module], type[MergingBlock]] = {
    RelPosBlock: MergingRelPosBlock,
    ResPostRelPosBlock: MergingResPostRelPosBlock,
}
