"""Token merging in and out of a model by one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, TypeVar, cast

from torch import nn

from ..errors import MergeMixError, check_int, wrong
from .adapters import Family
from .blocks import MergingModel
from .find import find_model
from .record import Recording
from .schedule import R, parse, resolve
from .state import MergeConfig, Merging

__all__ = ["MergeInfo", "merge_info", "merging", "merging_state", "patch", "record", "unpatch"]

M = TypeVar("M", bound=nn.Module)


def patch(model: M, r: R, *, prop_attn: bool = True) -> M:
    """Adds token merging to a vision transformer, in place.

    Bolya et al., "Token Merging: Your ViT but Faster", ICLR 2023 (arXiv 2210.09461): in each block, between attention
    and MLP, the ``r`` most similar pairs of patch tokens become one. Weights and state-dict keys stay as they are. A
    model that is patched already gets the new settings.

    Args:
        model: A supported model (see `supported`) or a module that holds one: DDP, a compiled model, your own.
        r: Tokens that merge: an int per block; ``("decreasing", r)``, from 2 r in the first block to 0 in the last; a
            list with an int per block; ``("total", n)`` spread over the blocks; ``("keep", ratio)`` of the patch tokens
            left after the last block. An int and a decreasing r are clipped in each block to half of its patch tokens.
        prop_attn: Proportional attention: a merged token counts as often as the patches that it stands for.

    Returns:
        ``model`` itself.

    Raises:
        MergeMixError: If the model is not supported, or ``r`` has no known form or cannot be met.
    """
    vit, family = find_model(model)
    blocks = family.find_blocks(vit)
    config = _config(vit, family, r, prop_attn)
    if isinstance(vit, MergingModel):
        vit.merging.config = config
        return model
    state = Merging(config, len(blocks), family.prefix_tokens(vit), family.has_class_token(vit))
    state.checkpointing = getattr(vit, "grad_checkpointing", False)
    state.train(vit.training)
    for index, block in enumerate(blocks):
        family.attach(block)
        block.merging, block.merge_index = state, index  # type: ignore[assignment]
        block.__class__ = family.blocks[type(block)]
    vit.merging = state
    vit.__class__ = cast(Any, family.models[type(vit)])
    return model


def unpatch(model: M) -> M:
    """Takes token merging out again: classes, hooks, attributes and outputs are as before `patch`.

    Args:
        model: A patched model. One that is not patched is left as it is.

    Returns:
        ``model`` itself.

    Raises:
        MergeMixError: If the model is not a supported one.
    """
    vit, family = find_model(model)
    if not isinstance(vit, MergingModel):
        return model
    for block in family.find_blocks(vit):
        block.__class__ = _plain(family.blocks, block)
        del block.merging, block.merge_index
        family.detach(block)
    vit.__class__ = _plain(family.models, vit)
    del vit.merging
    return model


def _plain(classes: dict[type[nn.Module], type[nn.Module]], module: nn.Module) -> Any:
    return next(plain for plain, merging_class in classes.items() if merging_class is type(module))


def _config(vit: nn.Module, family: Family, r: R, prop_attn: bool) -> MergeConfig:
    schedule = parse(r, len(family.find_blocks(vit)))
    patches = _default_patches(vit, family)
    if patches is not None:
        resolve(schedule, patches)
    return MergeConfig(schedule, bool(prop_attn))


def _default_patches(vit: nn.Module, family: Family) -> int | None:
    size = family.default_size(vit)
    if size is None:
        return None
    rows, columns = family.grid_size(vit, *size)
    return rows * columns


def merging_state(model: nn.Module) -> Merging:
    """The `Merging` of a patched model.

    Raises:
        MergeMixError: If the model is not patched.
    """
    vit, _ = find_model(model)
    if not isinstance(vit, MergingModel):
        raise wrong("model", model, "a patched model, see timm_mergemix.patch")
    return vit.merging


@contextmanager
def merging(model: M, r: R | None = None, *, prop_attn: bool | None = None) -> Iterator[M]:
    """Token merging for a while: patches the model, or changes the settings of a patched one.

    Args:
        model: As for `patch`.
        r: As for `patch`; 0 switches merging off. None keeps what is in force, which is 0 for an unpatched model.
        prop_attn: As for `patch`; None keeps what is in force.

    Yields:
        ``model`` itself. What `patch` does to it inside is undone at the end.

    Raises:
        MergeMixError: As `patch` does. With gradient checkpointing, also by a backward pass after the end, if the model
            was not patched before: it would have to recompute what is no longer there.
    """
    vit, family = find_model(model)
    if isinstance(vit, MergingModel):
        before = vit.merging.config
        proportional = before.prop_attn if prop_attn is None else prop_attn
        now = replace(before, prop_attn=proportional) if r is None else _config(vit, family, r, proportional)
        with vit.merging.during(config=now):
            yield model
        return
    patch(vit, 0 if r is None else r, prop_attn=prop_attn is not False)
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
        A `Recording`, filled while the context is open.
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
        grad_checkpointing: Whether the blocks recompute their activations in the backward pass.
    """

    r: Any
    merges: tuple[int, ...]
    tokens: tuple[int, ...]
    prefix_tokens: int
    prop_attn: bool
    grad_checkpointing: bool


def merge_info(model: nn.Module, image_size: tuple[int, int] | None = None) -> MergeInfo:
    """The schedule in force and the tokens per layer.

    Args:
        model: A patched model.
        image_size: Height and width in pixels; the size that the model was made for if None.

    Raises:
        MergeMixError: If the model is not patched, ``image_size`` is not (height, width), or nobody knows one.
    """
    state = merging_state(model)
    vit, family = find_model(model)
    if image_size is not None:
        _check_image_size(image_size)
    default = family.default_size(vit)
    size = default if image_size is None else family.input_size(vit, *image_size)
    if image_size is not None and size == default != tuple(image_size):
        raise wrong("image_size", image_size, f"{default}, the only size that the model takes")
    if size is None:
        raise MergeMixError(
            "image_size: got None, wanted (height, width), since the model has no image size of its own"
        )
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
        grad_checkpointing=state.checkpointing,
    )


def _check_image_size(image_size: Any) -> None:
    if not isinstance(image_size, (tuple, list)) or len(image_size) != 2:
        raise wrong("image_size", image_size, "(height, width) in pixels")
    for name, pixels in zip(("height", "width"), image_size, strict=True):
        check_int(f"image_size ({name})", pixels, 1)
