"""Token merging in and out of a model by one line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, TypeVar, cast

from torch import nn

from ..errors import check_choice, check_int, wrong
from .blocks import MergingBlock
from .families import BLOCKS, PLAIN_BLOCKS, Family
from .find.search import Blocks, find_model
from .matching.choose import MATCHINGS
from .model import MergingModel
from .passes import MergeConfig, Merging
from .record import Recording
from .schedule import R, parse, resolve

__all__ = ["MergeInfo", "merge_info", "merging", "merging_state", "patch", "record", "unpatch"]

M = TypeVar("M", bound=nn.Module)


def patch(
    model: M,
    r: R,
    *,
    prop_attn: bool = True,
    matching: str = "bipartite",
    blocks: Blocks | None = None,
    prefix_tokens: int | None = None,
) -> M:
    """Adds token merging to a vision transformer, in place.

    Bolya et al., "Token Merging: Your ViT but Faster", ICLR 2023 (arXiv 2210.09461): in each block, between attention
    and MLP, the ``r`` most similar pairs of patch tokens become one. Weights and state-dict keys stay as they are. A
    model that is patched already gets the new settings.

    Args:
        model: A supported model (see `supported`) or a module that holds one: DDP, a compiled model, your own. Also a
            module of your own that holds only the blocks of one.
        r: Tokens that merge: an int per block; ``("decreasing", r)``, from 2 r in the first block to 0 in the last; a
            list with an int per block; ``("total", n)`` spread over the blocks; ``("keep", ratio)`` of the patch tokens
            left after the last block. An int and a decreasing r are clipped in each block to half of its patch tokens.
        prop_attn: Proportional attention: a merged token counts as often as the patches that it stands for.
        matching: Which tokens merge. ``"bipartite"``: soft matching, as in the paper. ``"pitome"``: protects tokens
            unlike all others (Tran et al., "Accelerating Transformers with Spectrum-Preserving Token Merging", NeurIPS
            2024). ``"kth"`` and ``"random"``: baselines. See `timm_mergemix.functional`.
        blocks: For a module of your own: the path of the container of its blocks (``"encoder.layers"``), or the blocks
            in the order in which they run. All of them must run: after the last one all tokens are back. None finds the
            only ones.
        prefix_tokens: For a module of your own: leading tokens that never merge. None takes its ``num_prefix_tokens``.

    Returns:
        ``model`` itself.

    Raises:
        MergeMixError: If the model is not supported, ``r`` has no known form or cannot be met, or there is no such
            matching.
    """
    vit, family = find_model(model, "model", blocks, prefix_tokens)
    config = _config(vit, family, r, prop_attn, matching)
    state = _state(vit, family)
    if state is None:
        _attach(vit, family, config)
    else:
        state.config = config
        _number(family.find_blocks(vit), state)
    return model


def _attach(vit: nn.Module, family: Family, config: MergeConfig) -> None:
    blocks = family.find_blocks(vit)
    in_model = type(vit) in family.models
    state = Merging(config, len(blocks), family.prefix_tokens(vit), family.has_class_token(vit), in_model)
    state.train(vit.training)
    for block in blocks:
        merging_class = BLOCKS[type(block)]
        merging_class.attach(block)
        block.merging = state
        block.__class__ = merging_class
    _number(blocks, state)
    if in_model:
        state.checkpointing = getattr(vit, "grad_checkpointing", False)
        vit.merging = state
        vit.__class__ = cast(Any, family.models[type(vit)])


def _number(blocks: Sequence[Any], state: Merging) -> None:
    """Blocks know their place; some may have been removed since the patch."""
    state.depth = len(blocks)
    for index, block in enumerate(blocks):
        block.merge_index = index


def unpatch(model: M) -> M:
    """Takes token merging out again: classes, hooks, attributes and outputs are as before `patch`.

    Args:
        model: A patched model. One that is not patched is left as it is.

    Returns:
        ``model`` itself.

    Raises:
        MergeMixError: If the model is not a supported one.
    """
    vit, family = find_model(model, unpatching=True)
    for block in family.find_blocks(vit):
        if isinstance(block, MergingBlock):  # one that was replaced since `patch` is plain
            block.detach(block)
            del block.merging, block.merge_index
            block.__class__ = cast(Any, PLAIN_BLOCKS[type(block)])
    if isinstance(vit, MergingModel):
        del vit.merging
        vit.__class__ = cast(Any, next(plain for plain, merged in family.models.items() if merged is type(vit)))
    return model


def _state(vit: nn.Module, family: Family) -> Merging | None:
    """The `Merging` of a model, None where it is not patched."""
    first = family.find_blocks(vit)[0]
    return first.merging if isinstance(first, MergingBlock) else None


def _config(vit: nn.Module, family: Family, r: R, prop_attn: bool, matching: str) -> MergeConfig:
    check_choice("matching", matching, MATCHINGS)
    schedule = parse(r, len(family.find_blocks(vit)))
    size = family.only_size(vit)
    if size is not None:  # else the forward pass tells whether the images that come have tokens enough
        rows, columns = family.grid_size(vit, *size)
        resolve(schedule, rows * columns)
    return MergeConfig(schedule, bool(prop_attn), matching)


def merging_state(model: nn.Module) -> Merging:
    """The `Merging` of a patched model.

    Raises:
        MergeMixError: If the model is not patched.
    """
    state = _state(*find_model(model))
    if state is None:
        raise wrong("model", model, "a patched model, see timm_mergemix.patch")
    return state


@contextmanager
def merging(model: M, r: R | None = None, *, prop_attn: bool | None = None, matching: str | None = None) -> Iterator[M]:
    """Token merging for a while: patches the model, or changes the settings of a patched one.

    Args:
        model: As for `patch`.
        r: As for `patch`; 0 switches merging off. None keeps what is in force, which is 0 for an unpatched model.
        prop_attn: As for `patch`; None keeps what is in force.
        matching: As for `patch`; None keeps what is in force.

    Yields:
        ``model`` itself. What `patch` does to it inside is undone at the end.

    Raises:
        MergeMixError: As `patch` does. With gradient checkpointing, also by a backward pass after the end, if the model
            was not patched before: it would have to recompute what is no longer there.
    """
    vit, family = find_model(model)
    state = _state(vit, family)
    if state is not None:
        before = state.config
        prop_attn = before.prop_attn if prop_attn is None else prop_attn
        matching = before.matching if matching is None else matching
        now = _config(vit, family, 0 if r is None else r, prop_attn, matching)
        with state.during(config=replace(now, schedule=before.schedule) if r is None else now):
            yield model
        return
    prop_attn = True if prop_attn is None else prop_attn
    patch(vit, 0 if r is None else r, prop_attn=prop_attn, matching="bipartite" if matching is None else matching)
    try:
        yield model
    finally:
        unpatch(vit)


@contextmanager
def record(model: nn.Module, attention: bool = True) -> Iterator[Recording]:
    """Keeps source maps, sizes and attention of the forward passes inside the context.

    Args:
        model: A supported model, patched or not.
        attention: Whether attention is recorded too: from the class token, else received from all patches. It costs one
            more query-key projection a block.

    Yields:
        A `Recording`, filled while the context is open; inside another `record` it takes that one's place.
    """
    recording = Recording(attention=attention)
    with merging(model), merging_state(model).during(observer=recording):
        yield recording


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
        MergeMixError: If the model is not patched, ``image_size`` is not (height, width), or nobody knows one.
    """
    state = merging_state(model)
    vit, family = find_model(model)
    family.check_grid(vit)
    if image_size is not None:
        _check_image_size(image_size)
    size = family.default_size(vit) if image_size is None else family.input_size(vit, *image_size)
    if image_size is not None and size != tuple(image_size):
        raise wrong("image_size", image_size, f"{size}, or another size that the model takes")
    if size is None:
        raise wrong("image_size", None, "(height, width), since the model has no image size of its own")
    rows, columns = family.grid_size(vit, *size)
    # A model that was pruned after the patch has lost its last blocks.
    merges = resolve(state.config.schedule, rows * columns)[: state.depth]
    start = rows * columns + state.prefix_tokens
    return MergeInfo(
        r=state.config.schedule.r,
        merges=merges,
        tokens=tuple(accumulate(merges, lambda left, r: left - r, initial=start)),
        prefix_tokens=state.prefix_tokens,
        prop_attn=state.config.prop_attn,
        matching=state.config.matching,
        grad_checkpointing=state.checkpointing,
    )


def _check_image_size(image_size: Any) -> None:
    if not isinstance(image_size, (tuple, list)) or len(image_size) != 2:
        raise wrong("image_size", image_size, "(height, width) in pixels")
    for name, pixels in zip(("height", "width"), image_size, strict=True):
        check_int("image_size", pixels, 1, part=f" ({name})")
