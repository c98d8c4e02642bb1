"""timm's VisionTransformer, built from its plain Block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from timm.layers import AttentionPoolLatent
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import Attention, Block, VisionTransformer
from torch import Tensor, nn

from ..blocks import MergingBlock, MergingModel
from ..record import attention_row
from .family import Family

__all__ = ["MergingVisionTransformer", "MergingVisionTransformerDistilled", "MergingVitBlock", "VitFamily"]

AWAITED = "_merging_keys"
HOOK = "_merging_key_hook"


def keep_keys(module: nn.Module, args: Any, output: Tensor) -> None:
    """Forward hook on ``k_norm``: leaves the keys on their own module, while a block waits for them."""
    if AWAITED in module.__dict__:
        module.__dict__[AWAITED] = output


class MergingVitBlock(MergingBlock, Block):
    """`timm.models.vision_transformer.Block` that merges."""

    attn: Any
    norm1: nn.Module
    ls1: nn.Module
    drop_path1: nn.Module
    norm2: nn.Module
    mlp: nn.Module
    ls2: nn.Module
    drop_path2: nn.Module

    def attention_branch(self, x: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        """See `MergingBlock`."""
        k_norm = self.attn.k_norm
        k_norm.__dict__[AWAITED] = None
        try:
            branch = self.drop_path1(self.ls1(self.attn(self.norm1(x), attn_mask=bias)))
        finally:
            keys: Tensor = k_norm.__dict__.pop(AWAITED)
        return branch, keys.detach().mean(dim=1)

    def mlp_branch(self, x: Tensor) -> Tensor:
        """See `MergingBlock`."""
        return self.drop_path2(self.ls2(self.mlp(self.norm2(x))))

    def query_key(self, x: Tensor, queries: slice) -> tuple[Tensor, Tensor, float]:
        """See `MergingBlock`."""
        attn = self.attn
        batch, length, _ = x.shape
        qkv = attn.qkv(self.norm1(x)).reshape(batch, length, 3, attn.num_heads, -1)
        query, key, _ = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        return attn.q_norm(query[:, :, queries]), attn.k_norm(key), attn.scale


class MergingVisionTransformer(MergingModel, VisionTransformer):
    """`timm.models.vision_transformer.VisionTransformer` that merges."""

    blocks: Any

    @property
    def grad_checkpointing(self) -> bool:
        """Always False to timm's own forward: the blocks checkpoint themselves, around a body without state."""
        return False

    @grad_checkpointing.setter
    def grad_checkpointing(self, enable: bool) -> None:
        self.__dict__["grad_checkpointing"] = enable
        self.merging.checkpointing = enable

    def head_reads_patches(self) -> bool:
        """See `MergingModel`."""
        return self.global_pool != "token" or getattr(self, "attn_pool", None) is not None

    def forward_intermediates(self, *args: Any, **kwargs: Any) -> Any:
        """timm's own, with all tokens in each intermediate."""
        with self.merging.during(exposing=True):
            return super().forward_intermediates(*args, **kwargs)

    def prune_intermediate_layers(self, *args: Any, **kwargs: Any) -> Any:
        """timm's own; what is left merges as before, and its last block recovers all tokens."""
        kept = super().prune_intermediate_layers(*args, **kwargs)
        self.merging.depth = len(self.blocks)
        return kept


class MergingVisionTransformerDistilled(MergingVisionTransformer, VisionTransformerDistilled):
    """`timm.models.deit.VisionTransformerDistilled` that merges."""

    def head_reads_patches(self) -> bool:
        """See `MergingModel`."""
        return False


class VitFamily(Family):
    """vit, deit, deit3, DINOv2, CLIP, SigLIP, AIMv2, flexivit, ..."""

    name = "timm VisionTransformer"
    models: ClassVar = {
        VisionTransformer: MergingVisionTransformer,
        VisionTransformerDistilled: MergingVisionTransformerDistilled,
    }
    blocks: ClassVar = {Block: MergingVitBlock}

    def find_blocks(self, model: Any) -> Sequence[nn.Module]:
        """See `Family`."""
        return list(model.blocks)

    def prefix_tokens(self, model: Any) -> int:
        """See `Family`."""
        return model.num_prefix_tokens

    def has_class_token(self, model: Any) -> bool:
        """See `Family`."""
        return model.has_class_token

    def input_size(self, model: Any, height: int, width: int) -> tuple[int, int]:
        """See `Family`."""
        size = self.default_size(model)
        if size is not None and not model.dynamic_img_size:
            return size
        rows, columns = model.patch_embed.feat_ratio(as_scalar=False)
        return -(-height // rows) * rows, -(-width // columns) * columns

    def grid_size(self, model: Any, height: int, width: int) -> tuple[int, int]:
        """See `Family`."""
        return tuple(model.patch_embed.dynamic_feat_size((height, width)))

    def default_size(self, model: Any) -> tuple[int, int] | None:
        """See `Family`."""
        return model.patch_embed.img_size

    def in_channels(self, model: Any) -> int:
        """See `Family`."""
        # Older releases of timm have no model.in_chans; a hybrid's stem comes before its projection.
        first = next(m for m in model.patch_embed.modules() if isinstance(m, nn.Conv2d))
        return first.in_channels

    def refusal(self, block: Any) -> str | None:
        """See `Family`."""
        if type(block.attn) is not Attention:
            return f"its blocks use {type(block.attn).__name__}, only timm's plain Attention is supported"
        return None

    def pool(self, model: Any) -> nn.Module | None:
        """See `Family`."""
        pool = getattr(model, "attn_pool", None)
        return pool if isinstance(pool, AttentionPoolLatent) else None

    def pool_attention(self, model: Any, x: Tensor) -> Tensor:
        """See `Family`."""
        pool = model.attn_pool
        if pool.pos_embed is not None:
            x = x + pool.pos_embed.unsqueeze(0).to(x.dtype)
        batch, heads = x.shape[0], pool.num_heads
        query = pool.q(pool.latent.expand(batch, -1, -1)).unflatten(-1, (heads, -1)).transpose(1, 2)
        key = pool.kv(x).unflatten(-1, (2, heads, -1))[:, :, 0].transpose(1, 2)
        attention = attention_row(pool.q_norm(query), pool.k_norm(key), pool.scale, None, None)
        return attention[:, model.num_prefix_tokens :] if model.pool_include_prefix else attention

    def attach(self, block: Any) -> None:
        """See `Family`."""
        k_norm = block.attn.k_norm
        # Kept as an attribute, so that copies and pickles of the hook can be removed too.
        k_norm.__dict__[HOOK] = k_norm.register_forward_hook(keep_keys)

    def detach(self, block: Any) -> None:
        """See `Family`."""
        block.attn.k_norm.__dict__.pop(HOOK).remove()
