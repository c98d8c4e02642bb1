"""What timm's plain transformer models have in common, whatever their blocks are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from timm.layers import AttentionPoolLatent
from torch import Tensor, nn

from ...errors import Words, wrong
from ..blocks import MergingBlock
from ..model import MergingModel
from ..record import mean_attention, softmax_attention
from .family import Family

__all__ = ["MergingTimmModel", "TimmFamily"]


def _merging_blocks(module: nn.Module) -> Iterator[MergingBlock]:
    return (m for m in module.modules() if isinstance(m, MergingBlock))


class MergingTimmModel(MergingModel):
    """Mixin before a timm model's own class."""

    blocks: Any
    global_pool: str

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

    def forward_features(self, *args: Any, **kwargs: Any) -> Any:
        """timm's own."""
        self._follow_cuts()
        return super().forward_features(*args, **kwargs)  # type: ignore[misc]

    def forward_intermediates(self, *args: Any, **kwargs: Any) -> Any:
        """timm's own, with all tokens in each intermediate."""
        self._follow_cuts()
        with self.merging.during(exposing=True):
            return super().forward_intermediates(*args, **kwargs)  # type: ignore[misc]

    def _follow_cuts(self) -> None:
        """Where blocks were cut off, those that are left merge as before, and the last of them recovers all tokens."""
        last = self.blocks[-1]
        held = last if isinstance(last, MergingBlock) else next(_merging_blocks(last), None)
        # Their settings are looked at, since torch.export puts a stand-in in place of each module.
        if held is None or held.merging.config is not self.merging.config:
            raise wrong(
                "blocks",
                Words(f"{'a' if held is None else 'a copied'} {type(last).__name__} as the last of them"),
                "those that were patched; unpatch the model before its blocks are replaced",
            )
        if self.merging.depth != len(self.blocks):
            self.merging.depth = len(self.blocks)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "blocks":
            self.merging.depth = len(self.blocks)


class TimmFamily(Family):
    """Where things are in timm's plain transformer models."""

    def stem(self, model: Any) -> Any:
        """The patch embedding."""
        return model.patch_embed

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
        if getattr(self.stem(model), "dynamic_img_pad", False) and self.takes_any_size(model):
            return height, width
        size = self.default_size(model)
        if size is not None and not self.takes_any_size(model):
            return size
        rows, columns = self.unit(model)
        return -(-height // rows) * rows, -(-width // columns) * columns

    def takes_any_size(self, model: Any) -> bool:
        """Whether images of other sizes than the default one fit."""
        return getattr(model, "dynamic_img_size", False)

    def unit(self, model: Any) -> tuple[int, int]:
        """Height and width in pixels that an image's are multiples of."""
        return self.stem(model).feat_ratio(as_scalar=False)

    def grid_size(self, model: Any, height: int, width: int) -> tuple[int, int]:
        """See `Family`."""
        return tuple(self.stem(model).dynamic_feat_size((height, width)))

    def default_size(self, model: Any) -> tuple[int, int] | None:
        """See `Family`."""
        return model.patch_embed.img_size

    def in_channels(self, model: Any) -> int:
        """See `Family`."""
        channels = getattr(model, "in_chans", None)
        if channels is not None:
            return channels
        # Older releases of timm do not keep it; a hybrid's stem comes before its projection.
        stem = self.stem(model)
        first = next((m for m in stem.modules() if isinstance(m, nn.Conv2d)), None)
        if first is not None:
            return first.in_channels
        rows, columns = self.unit(model)
        return stem.proj.in_features // (rows * columns)

    def features(self, model: Any, images: Tensor) -> Tensor:
        """See `Family`."""
        return model.forward_features(images)

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
        attention = softmax_attention(pool.q_norm(query), pool.k_norm(key), pool.scale, None)
        attention = mean_attention(attention, None)
        includes_prefix = getattr(model, "pool_include_prefix", True)  # Eva's pool always sees them
        return attention[:, model.num_prefix_tokens :] if includes_prefix else attention
