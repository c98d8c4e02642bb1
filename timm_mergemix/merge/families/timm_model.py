"""What timm's plain transformer models have in common, whatever their blocks are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from timm.layers import AttentionPoolLatent
from torch import Tensor, nn

from ..model import MergingModel, merging_of, open_pass, plain_of
from ..passes import Opened
from ..record import mean_attention, softmax_attention
from ..state import Merging
from .backbone import Backbone

__all__ = ["MergingTimmModel", "TimmBackbone"]


class MergingTimmModel(MergingModel):
    """Mixin before a timm model's own class."""

    blocks: Any
    global_pool: str

    @property
    def grad_checkpointing(self) -> bool:
        """Always False, so that timm's own forward does not checkpoint the blocks, which checkpoint themselves."""
        return False

    @grad_checkpointing.setter
    def grad_checkpointing(self, enable: bool) -> None:
        self.__dict__["grad_checkpointing"] = enable
        self.merging.checkpointing = enable

    def head_reads_patches(self) -> bool:
        return self.global_pool != "token" or getattr(self, "attn_pool", None) is not None

    def forward_features(self, *args: Any, **kwargs: Any) -> Any:
        """timm's own method, run with merging."""
        cls, merging = type(self), merging_of(self)
        if merging is None:
            return plain_of(cls).forward_features(self, *args, **kwargs)
        with _running(cls, self, merging):
            return plain_of(cls).forward_features(self, *args, **kwargs)

    def forward_intermediates(self, *args: Any, **kwargs: Any) -> Any:
        """timm's own method; each intermediate output has all tokens."""
        cls, merging = type(self), merging_of(self)
        if merging is None:
            return plain_of(cls).forward_intermediates(self, *args, **kwargs)
        with open_pass(cls, self, merging, exposing=True):
            return plain_of(cls).forward_intermediates(self, *args, **kwargs)

    def set_input_size(self, *args: Any, **kwargs: Any) -> Any:
        """timm's own method; afterwards the number of patches is unknown."""
        super().set_input_size(*args, **kwargs)  # type: ignore[misc]
        self.merging.layout = replace(self.merging.layout, most_patches=None)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "blocks" and hasattr(value, "__len__"):
            self.merging.depth = len(value)


def _running(cls: Any, model: Any, merging: Merging) -> Opened:
    """The context of the features: the pass that the model's forward has just opened for them, else a new one."""
    current = merging.here.current
    if current is None or not current.opened or current.claimed or current.begun:
        opened = open_pass(cls, model, merging)
    else:
        opened = Opened(merging.here, current)
    opened.new.claimed = True
    if getattr(model, "dynamic_img_size", False):  # it may have been set since the patch
        opened.new.most_patches = None
    return opened


class TimmBackbone(Backbone):
    """Where things are in timm's plain transformer models."""

    @property
    def stem(self) -> Any:
        """The patch embedding."""
        return self.model.patch_embed

    def find_blocks(self) -> Sequence[nn.Module]:
        return list(self.model.blocks)

    @property
    def prefix_tokens(self) -> int:
        return self.model.num_prefix_tokens

    @property
    def has_class_token(self) -> bool:
        return self.model.has_class_token

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        if getattr(self.stem, "dynamic_img_pad", False) and self.takes_any_size:
            return height, width
        size = self.default_size
        if size is not None and not self.takes_any_size:
            return size
        rows, columns = self.unit
        return -(-height // rows) * rows, -(-width // columns) * columns

    @property
    def takes_any_size(self) -> bool:
        """Whether images of other sizes than the default one fit."""
        return getattr(self.model, "dynamic_img_size", False)

    @property
    def unit(self) -> tuple[int, int]:
        """Height and width in pixels that an image's are multiples of."""
        return self.stem.feat_ratio(as_scalar=False)

    def grid_size(self, height: int, width: int) -> tuple[int, int]:
        return tuple(self.stem.dynamic_feat_size((height, width)))

    @property
    def default_size(self) -> tuple[int, int] | None:
        return self.model.patch_embed.img_size

    @property
    def in_channels(self) -> int:
        channels = getattr(self.model, "in_chans", None)
        if channels is not None:
            return channels
        # Older releases of timm do not keep it; a hybrid's stem comes before its projection.
        stem = self.stem
        first = next((m for m in stem.modules() if isinstance(m, nn.Conv2d)), None)
        if first is not None:
            return first.in_channels
        rows, columns = self.unit
        return stem.proj.in_features // (rows * columns)

    def features(self, images: Tensor) -> Tensor:
        return self.model.forward_features(images)

    @property
    def pool(self) -> nn.Module | None:
        pool = getattr(self.model, "attn_pool", None)
        return pool if isinstance(pool, AttentionPoolLatent) else None

    def pool_attention(self, x: Tensor) -> Tensor:
        pool = self.model.attn_pool
        if pool.pos_embed is not None:
            x = x + pool.pos_embed.unsqueeze(0).to(x.dtype)
        batch, heads = x.shape[0], pool.num_heads
        query = pool.q(pool.latent.expand(batch, -1, -1)).unflatten(-1, (heads, -1)).transpose(1, 2)
        key = pool.kv(x).unflatten(-1, (2, heads, -1))[:, :, 0].transpose(1, 2)
        attention = softmax_attention(pool.q_norm(query), pool.k_norm(key), pool.scale, None)
        attention = mean_attention(attention, None)
        includes_prefix = getattr(self.model, "pool_include_prefix", True)  # Eva's pool always sees them
        return attention[:, self.model.num_prefix_tokens :] if includes_prefix else attention
