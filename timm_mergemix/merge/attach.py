"""Merging into the blocks of a model, and out of them again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

from .blocks import MergingBlock
from .config import MergeConfig
from .families import BLOCKS, PLAIN_BLOCKS, Backbone
from .find.refusals import reason_against, unsupported
from .model import MergingModel
from .passes import Merging, Settings
from .schedule import parse, resolve

__all__ = ["attach", "detach", "merge_by", "merging_in", "planned"]


def settings_for(backbone: Backbone, config: MergeConfig) -> Settings:
    """The settings of a model of that depth.

    Raises:
        MergeMixError: If the model cannot meet ``r``.
    """
    schedule = parse(config.r, len(backbone.blocks))
    size = backbone.only_size
    if size is not None:  # else the forward pass tells whether the images that come have tokens enough
        resolve(schedule, backbone.count_patches(*size))
    return Settings(schedule, config.prop_attn, config.matching)


def attach(backbone: Backbone, settings: Settings) -> None:
    """Makes the blocks of an unpatched model merge.

    Raises:
        MergeMixError: If one of them cannot; then nothing has changed.
    """
    reason = reason_against(backbone)
    if reason is not None:
        raise unsupported("model", backbone.model, reason)
    model = backbone.model
    in_model = type(model) in backbone.models
    state = Merging(settings, len(backbone.blocks), backbone.prefix_tokens, backbone.has_class_token, in_model)
    state.train(model.training)
    for block in backbone.blocks:
        merging_class = BLOCKS[type(block)]
        merging_class.attach(block)
        block.merging = state
        block.__class__ = merging_class
    number_blocks(backbone.blocks, state)
    if in_model:
        state.checkpointing = getattr(model, "grad_checkpointing", False)
        model.merging = state
        model.__class__ = cast(Any, backbone.models[type(model)])


def merge_by(backbone: Backbone, config: MergeConfig) -> None:
    """`timm_mergemix.patch` of a model that was found already."""
    settings, state = settings_for(backbone, config), backbone.state
    if state is None:
        attach(backbone, settings)
    else:
        state.settings = settings
        number_blocks(backbone.blocks, state)


def number_blocks(blocks: Sequence[Any], state: Merging) -> None:
    """Blocks know their place; some may have been removed since the patch."""
    state.depth = len(blocks)
    for index, block in enumerate(blocks):
        block.merge_index = index


def detach(backbone: Backbone) -> None:
    """Makes a model what it was before `attach`; one that is not patched is left as it is."""
    model = backbone.model
    for block in backbone.blocks:
        if isinstance(block, MergingBlock):  # one that was replaced since is plain
            block.detach(block)
            del block.merging, block.merge_index
            block.__class__ = cast(Any, PLAIN_BLOCKS[type(block)])
    if isinstance(model, MergingModel):
        del model.merging
        model.__class__ = cast(Any, next(plain for plain, merged in backbone.models.items() if merged is type(model)))


@contextmanager
def merging_in(
    backbone: Backbone, r: Any = None, *, prop_attn: bool | None = None, matching: str | None = None
) -> Iterator[Merging]:
    """`timm_mergemix.merging` for a model that was found already; yields what its blocks share."""
    given = {"r": r, "prop_attn": prop_attn, "matching": matching}
    settings = planned(backbone, **given)
    state = backbone.state
    if state is not None:
        with state.during(settings=settings):
            yield state
        return
    attach(backbone, settings)
    try:
        yield cast(Merging, backbone.state)
    finally:
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
    before = state.settings
    now = settings_for(backbone, MergeConfig(**{"prop_attn": before.prop_attn, "matching": before.matching, **known}))
    return now if "r" in known else replace(now, schedule=before.schedule)
