"""What an interrupt leaves of a patch or an unpatch is taken apart by the next call."""

import pytest
import torch

import timm_mergemix as mm
from timm_mergemix.merge import attach as attaching
from timm_mergemix.merge import restore as restoring
from timm_mergemix.merge.blocks import MergingBlock
from timm_mergemix.merge.families.vit import MergingVitBlock
from timm_mergemix.merge.model import MergingModel
from timm_mergemix.merge.restore import mend, restore

from ..models import images, tiny
from .families.cases import BUILDERS
from .patched import assert_unchanged, snapshot


def interrupt_after(monkeypatch, owner, name, calls):
    """Ctrl-C in the call of that number."""
    own, count = getattr(owner, name), iter(range(1, 1000))

    def interrupted(*args, **kwargs):
        if next(count) == calls:
            raise KeyboardInterrupt
        return own(*args, **kwargs)

    monkeypatch.setattr(owner, name, interrupted)


def half_patched(monkeypatch, build):
    """A model whose patch was interrupted, and its undoing as well."""
    model = build()
    with monkeypatch.context() as patched:
        patched.setattr(attaching, "detach", lambda backbone: None)
        interrupt_after(patched, attaching, "prepare", 1)
        with pytest.raises(KeyboardInterrupt):
            mm.patch(model, 3)
    return model


@pytest.mark.parametrize("name", ["vit", "cait", "beit", "relpos"])
def test_a_patch_that_was_interrupted_changes_nothing(monkeypatch, name):
    model = BUILDERS[name]()
    before = snapshot(model)
    with monkeypatch.context() as patched:
        interrupt_after(patched, attaching, "prepare", 1)
        with pytest.raises(KeyboardInterrupt):
            mm.patch(model, 3)
    assert_unchanged(before, model)


@pytest.mark.parametrize("name", ["vit", "cait", "beit", "relpos"])
@pytest.mark.parametrize("again", [mm.unpatch, lambda model: mm.patch(model, 2)])
def test_half_a_patch_is_taken_apart_by_the_next_call(monkeypatch, name, again):
    build = BUILDERS[name]
    model, x = half_patched(monkeypatch, build), images(build())
    assert isinstance(model.blocks[0], MergingBlock)
    assert isinstance(model, MergingModel)
    assert torch.equal(model(x), build()(x))
    again(model)
    assert torch.equal(model(x), again(build())(x))
    mm.unpatch(model)
    assert torch.equal(model(x), build()(x))


def test_an_unpatch_that_was_interrupted_goes_on_with_the_next_call(monkeypatch):
    model, x = tiny(), images(tiny())
    before, plain = snapshot(model), tiny()(x)
    mm.patch(model, 3)
    with monkeypatch.context() as patched:
        interrupt_after(patched, restoring, "_restore", 3)
        with pytest.raises(KeyboardInterrupt):
            mm.unpatch(model)
    assert isinstance(model.blocks[2], MergingBlock)
    assert not isinstance(model.blocks[0], MergingBlock)
    assert torch.equal(model(x), plain)
    mm.unpatch(model)
    assert_unchanged(before, model)
    assert torch.equal(model(x), plain)


def test_a_block_that_was_only_marked_and_hooked_is_known():
    model = tiny()
    before = snapshot(model)
    block = model.blocks[1]
    block.merging = mm.patch(tiny(), 1).merging
    block.merging.complete = False
    MergingVitBlock.attach(block)
    mend(model.modules())
    assert_unchanged(before, model)


def test_modules_that_are_not_patched_are_left_alone():
    model = tiny()
    before = snapshot(model)
    restore(model.modules())
    mend(model.modules())
    assert_unchanged(before, model)
    mm.patch(model, 2)
    before = snapshot(model)
    mend(model.modules())
    assert_unchanged(before, model)
