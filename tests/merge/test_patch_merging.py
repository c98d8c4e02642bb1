"""Merging for a while: the settings hold inside the context and what was before comes back after it."""

import pytest
import torch

import timm_mergemix as mm
from timm_mergemix import MergeMixError

from ..models import images, tiny
from .patched import assert_holds_no_tensor, assert_unchanged, both_families, merging_state, snapshot


@both_families
def test_merging_patches_for_a_while(build):
    model = build()
    x, before = images(model), snapshot(model)
    plain, merged = model(x), mm.patch(build(), 3)(x)
    with mm.merging(model, r=3) as inside:
        assert inside is model
        assert torch.equal(model(x), merged)
    assert_unchanged(before, model)
    assert torch.equal(model(x), plain)


@both_families
def test_merging_changes_a_patched_model_for_a_while(build):
    model = mm.patch(build(), 3)
    x, config = images(model), merging_state(model).settings
    merged = model(x)
    with mm.merging(model, r=0):
        assert torch.equal(model(x), build()(x))
        with mm.merging(model, r=("total", 5), prop_attn=False):
            assert mm.merge_info(model).merges == (2, 2, 1)
            assert not mm.merge_info(model).prop_attn
            with mm.merging(model, prop_attn=True):
                assert mm.merge_info(model).merges == (2, 2, 1)
                assert mm.merge_info(model).prop_attn
        assert mm.merge_info(model).merges == (0, 0, 0)
    assert merging_state(model).settings is config
    assert torch.equal(model(x), merged)


def test_merging_without_r_keeps_what_is_in_force():
    model = tiny()
    with mm.merging(model):
        assert mm.merge_info(model).merges == (0, 0, 0)
    mm.patch(model, 2, prop_attn=False)
    with mm.merging(model):
        assert mm.merge_info(model).merges == (2, 2, 2)
        assert not mm.merge_info(model).prop_attn


def test_merging_takes_prop_attn_for_an_unpatched_model():
    model = tiny()
    with mm.merging(model, r=3, prop_attn=False):
        assert torch.equal(model(images(model)), mm.patch(tiny(), 3, prop_attn=False)(images(model)))


@pytest.mark.parametrize("patched", [False, True])
def test_merging_restores_after_an_error(patched):
    model = mm.patch(tiny(), 1) if patched else tiny()
    before, config = snapshot(model), merging_state(model).settings if patched else None

    def fail():
        with mm.merging(model, r=3), mm.record(model):
            handle = model.blocks[1].mlp.register_forward_pre_hook(lambda *_: 1 / 0)
            try:
                model(images(model))
            finally:
                handle.remove()

    with pytest.raises(ZeroDivisionError):
        fail()
    assert_unchanged(before, model)
    if patched:
        assert merging_state(model).settings is config
        assert_holds_no_tensor(model)


@pytest.mark.parametrize("patched", [False, True])
def test_merging_with_a_bad_r_changes_nothing(patched):
    model = mm.patch(tiny(), 1) if patched else tiny()
    before = snapshot(model)
    with pytest.raises(MergeMixError, match=r"^r"), mm.merging(model, r=[1]):
        pass
    assert_unchanged(before, model)


def test_unpatching_inside_merging_is_harmless():
    for model in (tiny(), mm.patch(tiny(), 1)):
        with mm.merging(model, r=2):
            mm.unpatch(model)
        assert torch.equal(model(images(model)), tiny()(images(model)))
