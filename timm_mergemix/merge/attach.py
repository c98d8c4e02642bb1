"""Merging into the blocks of a model, and out of them again: all of it or nothing.

See `restore.py` for what becomes of a model when this is interrupted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

from .blocks import MergingBlock
from .config import MergeConfig
from .families import BLOCKS, Backbone
from .families.held import HeldBlocks
from .find.refusals import reason_against, unsupported
from .lock import CHANGING
from .restore import restore
from .schedule import Schedule, parse, resolve
from .settings import Settings
from .state import Merging

__all__ = ["attach", "attach_view", "detach", "merge_by", "merging_in", "patched", "planned"]


def settings_for(backbone: Backbone, config: MergeConfig) -> Settings:
    """The settings of a model of that depth.

    Raises:
        MergeMixError: If the model cannot meet ``r``.
    """
    schedule = _parse(config.r, backbone)
    size = backbone.only_size
    if size is not None:  # else the forward pass tells whether the images that come have tokens enough
        resolve(schedule, backbone.count_patches(*size))
    return Settings(schedule, config.prop_attn, config.matching)


def _parse(r: Any, backbone: Backbone) -> Schedule:
    idle = backbone.idle_blocks
    return parse(r, len(backbone.blocks) - idle, idle)


def attach(backbone: Backbone, settings: Settings) -> Merging:
    """Makes the blocks of an unpatched model merge, and returns what they share.

    Raises:
        MergeMixError: If one of them cannot; then nothing has changed.
    """
    reason = reason_against(backbone)
    if reason is not None:
        raise unsupported("model", backbone.model, reason)
    with CHANGING:
        # Until all are patched, they merge nothing: so the model runs as before, whatever comes between.
        nothing = replace(settings, schedule=_parse(0, backbone))
        state = Merging(nothing, len(backbone.blocks), backbone.layout, type(backbone.model) in backbone.models)
        try:
            _attach(backbone, state)
            prepare(backbone, state, settings)
        except BaseException:
            detach(backbone)
            raise
        state.settings, state.complete = settings, True
    return state


def prepare(backbone: Backbone, state: Merging, settings: Settings) -> None:
    """Prepares the blocks of a patched model beyond their class, once they are to merge anything; may be repeated."""
    if not settings.schedule.merges_any:
        return
    for block in backbone.blocks:
        if isinstance(block, MergingBlock):
            block.attach(block)


def _attach(backbone: Backbone, state: Merging) -> None:
    for index, block in enumerate(backbone.blocks):
        block.merging = state  # first: by it a block is known that was left half patched
        block.merge_index = index
        block.__class__ = BLOCKS[type(block)]
    model = backbone.model
    if state.in_model:
        state.checkpointing = getattr(model, "grad_checkpointing", False)
        model.merging = state
        model.__class__ = cast(Any, backbone.models[type(model)])
    if backbone.reading is not None:
        backbone.reading.attach(state)


def merge_by(backbone: Backbone, config: MergeConfig, adapters: bool | None = None) -> None:
    """`timm_mergemix.patch` of a model that was found already."""
    settings = settings_for(backbone, config)
    with CHANGING:
        state = backbone.state
        if state is None:
            state = attach(backbone, settings)
        else:
            number_blocks(backbone.blocks, state)
            prepare(backbone, state, settings)  # modules may have been replaced since
            if backbone.reading is not None and not backbone.reading.is_patched:  # its vision model was patched alone
                backbone.reading.attach(state)
            state.patch_anew(settings)
        if adapters is not None:
            state.adapters = adapters


def attach_view(view: Backbone, settings: Settings) -> Merging:
    """Gives a view of a model, patched or not, its own merging, which does not affect the model."""
    if view.state is None:
        return attach(view, settings)
    state = Merging(settings, len(view.blocks), view.own_layout)
    for part in (*view.blocks, view.model):
        part.merging = state
    prepare(view, state, settings)
    state.complete = True
    return state


def number_blocks(blocks: Sequence[Any], state: Merging) -> None:
    """Blocks know their place; some may have been removed since the patch."""
    for index, block in enumerate(blocks):
        block.merge_index = index
    state.depth = len(blocks)


def detach(backbone: Backbone) -> None:
    """Makes a model what it was before `attach`; one that is not patched, or only half, as well."""
    with CHANGING:
        # The module around held blocks may be patched too, for other blocks.
        around = () if isinstance(backbone, HeldBlocks) else (backbone.model,)
        readers = () if backbone.reading is None else backbone.reading.parts
        restore((*backbone.blocks, *around, *readers))


@contextmanager
def merging_in(
    backbone: Backbone, r: Any = None, *, prop_attn: bool | None = None, matching: str | None = None
) -> Iterator[Merging]:
    """`timm_mergemix.merging` for a model that was found already; yields what its blocks share."""
    settings = planned(backbone, r=r, prop_attn=prop_attn, matching=matching)
    with patched(backbone) as state:
        with CHANGING:
            prepare(backbone, state, settings)
        with state.scope(settings):
            yield state


@contextmanager
def patched(backbone: Backbone) -> Iterator[Merging]:
    """The model is patched inside: an unpatched one merges nothing by it, and is unpatched when no context is left."""
    with CHANGING:
        state = backbone.state
        if state is None:
            state = attach(backbone, settings_for(backbone, MergeConfig()))
            state.temporary = True
        state.contexts += 1
    try:
        yield state
    finally:
        with CHANGING:
            state.contexts -= 1
            if state.temporary and state.contexts <= 0 and backbone.state is state:
                detach(backbone)


def planned(backbone: Backbone, **given: Any) -> Settings:
    """The settings in force but for what is given and not None; those of an unpatched model merge nothing.

    Raises:
        MergeMixError: If the model cannot meet ``r``.
    """
    known = {name: value for name, value in given.items() if value is not None}
    state = backbone.state
    if state is None:
        return settings_for(backbone, MergeConfig(**known))
    before = state.settings_here
    now = settings_for(backbone, MergeConfig(**{"prop_attn": before.prop_attn, "matching": before.matching, **known}))
    return now if "r" in known else replace(now, schedule=before.schedule)
