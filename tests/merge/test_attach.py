"""Merging into a model that was found, for good and for a while, and what settings it would have."""

from __future__ import annotations

import pytest

import timm_mergemix as mm
from timm_mergemix import MergeMixError
from timm_mergemix.merge.attach import attach, detach, merging_in, planned, settings_for
from timm_mergemix.merge.config import MergeConfig
from timm_mergemix.merge.find.search import find_backbone

from ..models import tiny
from .patched import assert_unchanged, snapshot


def test_attaching_and_detaching_leaves_the_model_as_it_was() -> None:
    model = tiny()
    before, backbone = snapshot(model), find_backbone(model)
    attach(backbone, settings_for(backbone, MergeConfig(2)))
    assert mm.merge_info(model).merges == (2, 2, 2)
    detach(backbone)
    assert_unchanged(before, model)
    detach(backbone)
    assert_unchanged(before, model)


def test_a_model_that_can_no_longer_merge_is_refused_before_anything_has_changed() -> None:
    model = tiny()
    backbone = find_backbone(model)
    model.blocks[1].attn.forward = lambda x, **_: x
    before = snapshot(model)
    with pytest.raises(MergeMixError, match=r"the attention blocks\.1\.attn has its own forward"):
        attach(backbone, settings_for(backbone, MergeConfig(2)))
    assert_unchanged(before, model)


def test_settings_are_those_in_force_but_for_what_is_given() -> None:
    model = tiny()
    backbone = find_backbone(model)
    assert planned(backbone).schedule.r == 0
    mm.patch(model, [1, 2, 3], prop_attn=False, matching="kth")
    assert planned(backbone) == model.merging.settings_here
    changed = planned(backbone, r="keep:0.5", prop_attn=True, matching=None)
    assert (changed.schedule.r, changed.prop_attn, changed.matching) == (("keep", 0.5), True, "kth")


def test_for_a_while_the_state_is_that_of_the_blocks() -> None:
    model = tiny()
    backbone = find_backbone(model)
    with merging_in(backbone, 1) as state:
        assert state is model.merging is model.blocks[0].merging and state.settings_here.schedule.r == 1
    assert backbone.state is None
