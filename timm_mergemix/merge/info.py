"""How a model merges, in integers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from torch import nn

from ..errors import check_int, wrong
from .families import Backbone
from .find.search import find_backbone
from .schedule import resolve
from .settings import Settings
from .state import Merging

__all__ = ["MergeInfo", "info_of", "merge_info", "planned_tokens", "state_of"]


@dataclass(frozen=True)
class MergeInfo:
    """How a patched model merges; integers only.

    Attributes:
        r: The schedule as it was given.
        merges: Tokens that merge in each block, after clipping.
        tokens: Number of tokens, prefix tokens counted, before the first block and after each block.
        prefix_tokens: Leading tokens that never merge.
        prop_attn: Whether attention is proportional.
        matching: How it is decided which tokens merge.
        grad_checkpointing: Whether the blocks recompute their activations in the backward pass.
    """

    r: Any
    merges: tuple[int, ...]
    tokens: tuple[int, ...]
    prefix_tokens: int
    prop_attn: bool
    matching: str
    grad_checkpointing: bool


def merge_info(model: nn.Module, image_size: tuple[int, int] | None = None) -> MergeInfo:
    """The schedule in force and the tokens per layer.

    Args:
        model: A patched model.
        image_size: Height and width in pixels; the size that the model was made for if None.

    Returns:
        A `MergeInfo`.

    Raises:
        MergeMixError: If the model is not patched, ``image_size`` is not (height, width), or the model has none.
    """
    return info_of(find_backbone(model), image_size)


def state_of(backbone: Backbone) -> Merging:
    """What the blocks of a patched model share.

    Raises:
        MergeMixError: If the model is not patched.
    """
    if backbone.state is None:
        raise wrong("model", backbone.model, "a patched model, see timm_mergemix.patch")
    return backbone.state


def info_of(backbone: Backbone, image_size: tuple[int, int] | None = None) -> MergeInfo:
    """`merge_info` of a model that was found already."""
    state = state_of(backbone)
    backbone.check_grid()
    settings = state.settings_here
    patches = backbone.count_patches(*_known_size(backbone, image_size))
    # A model that was pruned after the patch has lost its last blocks.
    merges = resolve(settings.schedule, patches)[: state.depth]
    return MergeInfo(
        r=settings.schedule.r,
        merges=merges,
        tokens=_tokens_per_block(merges, patches + state.layout.protected),
        prefix_tokens=state.layout.prefix_tokens,
        prop_attn=settings.prop_attn,
        matching=settings.matching,
        grad_checkpointing=backbone.checkpoints,
    )


def planned_tokens(backbone: Backbone, settings: Settings, image_size: tuple[int, int]) -> tuple[int, ...]:
    """The tokens per layer that settings would give, prefix tokens counted; the model need not be patched."""
    patches = backbone.count_patches(*image_size)
    return _tokens_per_block(resolve(settings.schedule, patches), patches + backbone.prefix_tokens)


def _tokens_per_block(merges: tuple[int, ...], start: int) -> tuple[int, ...]:
    """Number of tokens before the first block and after each."""
    return tuple(accumulate(merges, lambda left, r: left - r, initial=start))


def _known_size(backbone: Backbone, image_size: Any) -> tuple[int, int]:
    if image_size is None:
        if backbone.default_size is None:
            raise wrong("image_size", None, "(height, width), since the model has no image size of its own")
        return backbone.default_size
    if not isinstance(image_size, (tuple, list)) or len(image_size) != 2:
        raise wrong("image_size", image_size, "(height, width) in pixels")
    for name, pixels in zip(("height", "width"), image_size, strict=True):
        check_int("image_size", pixels, 1, part=f" ({name})")
    size = backbone.input_size(*image_size)
    if size != tuple(image_size):
        raise wrong("image_size", image_size, f"{size}, or another size that the model takes")
    return size
