"""Blocks that were removed, replaced or copied after the patch do what is expected, or an error says what to do."""

import contextlib
import copy

import pytest
import torch
from torch import nn

import timm_mergemix as mm
from timm_mergemix import MergeMixError

from ..models import images, tiny, tiny_torchvision
from .families.cases import BUILDERS
from .reference import randn


@pytest.mark.parametrize("pool", ["token", "avg"])
def test_blocks_can_be_cut_off_in_place(pool):
    model, cut = tiny(global_pool=pool), tiny(global_pool=pool)
    x = images(model)
    cut.blocks = cut.blocks[:2]
    wanted = mm.patch(cut, [4, 4])(x)
    mm.patch(model, [4, 4, 4])
    del model.blocks[-1]
    assert torch.equal(model(x), wanted)
    assert model.forward_features(x).shape[1] == 17
    model = mm.patch(tiny(global_pool=pool), [4, 4, 4])
    model.blocks.pop(2)
    assert [part.shape[1] for part in model.forward_intermediates(x, output_fmt="NLC")[1]] == [16, 16]
    assert torch.equal(model(x), wanted)


def test_a_last_block_that_was_replaced_in_place_is_an_error():
    model = mm.patch(tiny(global_pool="avg"), 4)
    model.blocks[2] = nn.Identity()
    with pytest.raises(MergeMixError, match=r"^blocks: got a Identity as block 2, wanted the blocks that were patched"):
        model(images(model))


def test_patching_again_follows_blocks_that_were_removed_from_the_middle():
    model, cut = mm.patch(tiny(), 4), tiny()
    del model.blocks[1]
    with pytest.raises(MergeMixError, match="got another or a copied Block as block 1, wanted the blocks that"):
        model(images(model))
    cut.blocks = nn.Sequential(cut.blocks[0], cut.blocks[2])
    wanted = mm.patch(cut, [4, 4])
    assert torch.equal(mm.patch(model, [4, 4])(images(model)), wanted(images(model)))
    assert mm.merge_info(model) == mm.merge_info(wanted)


def test_copied_blocks_are_an_error_and_unpatch_still_works():
    model = mm.patch(tiny(global_pool="avg"), 4)
    model.blocks = copy.deepcopy(model.blocks)
    for call in (lambda: mm.patch(model, 3), lambda: mm.merge_info(model)):
        with pytest.raises(MergeMixError, match="blocks were copied from a patched model into it; unpatch the model"):
            call()
    for call in (model, model.forward_features, model.forward_intermediates):
        with pytest.raises(MergeMixError, match="got another or a copied Block as block 0"):
            call(images(model))
    wanted = mm.patch(tiny(global_pool="avg"), 4)(images(model))
    assert torch.equal(mm.patch(mm.unpatch(model), 4)(images(model)), wanted)


@pytest.mark.parametrize("index", [0, 2])
def test_a_block_that_was_replaced_by_a_plain_one_is_an_error(index):
    model = tiny(global_pool="avg")
    fresh = copy.deepcopy(model.blocks[index])
    mm.patch(model, 4)
    model.blocks[index] = fresh
    message = rf"blocks\.{index} was replaced while the model was patched; unpatch the model, then patch it again"
    for call in (lambda: mm.patch(model, 3), lambda: mm.merge_info(model)):
        with pytest.raises(MergeMixError, match=message):
            call()
    assert type(mm.unpatch(model)) is type(tiny()) and type(model.blocks[1]) is type(fresh)
    assert torch.equal(mm.patch(model, 4)(images(model)), mm.patch(tiny(global_pool="avg"), 4)(images(model)))


@pytest.mark.parametrize("build", [BUILDERS["vit"], BUILDERS["beit"]])
def test_an_attention_that_was_replaced_is_taken_in_by_patching_again(build):
    model = build()
    attention = copy.deepcopy(model.blocks[1].attn)
    wanted = mm.patch(model, 4)(images(model))
    model.blocks[1].attn = attention
    with contextlib.suppress(MergeMixError):  # families that need a hook say that it is gone
        assert torch.equal(model(images(model)), wanted)
    mm.patch(mm.unpatch(model), 4)
    assert torch.equal(model(images(model)), wanted)


@pytest.mark.parametrize("name", ["vit", "eva", "beit", "relpos", "cait"])
@pytest.mark.parametrize("extra", [nn.Identity, lambda: nn.LayerNorm(48)])
def test_a_module_that_was_put_between_blocks_is_an_error_once_something_merges(name, extra):
    model = mm.patch(BUILDERS[name](), 4)
    model.blocks.insert(1, extra())
    if name in ("eva", "beit", "relpos"):
        model.blocks[1].forward = lambda x, *args, **kwargs: x
    x = images(model)
    for call in (model, model.forward_features):
        with pytest.raises(MergeMixError, match=r"^blocks: got a \w+ as block 1, wanted the blocks that were patched"):
            call(x)
    mm.unpatch(model)
    del model.blocks[1]
    assert torch.equal(mm.patch(model, 4)(x), mm.patch(BUILDERS[name](), 4)(x))


def test_a_module_between_blocks_runs_where_nothing_merges():
    model, plain = mm.patch(tiny(), 0), tiny()
    for each in (model, plain):
        each.blocks.insert(1, nn.Identity())
    assert torch.equal(model(images(model)), plain(images(plain)))


def test_a_block_that_was_wrapped_after_the_patch_still_merges():
    model, x = mm.patch(tiny(), 4), images(tiny())
    wanted = model(x)
    model.blocks[2] = nn.Sequential(model.blocks[2])
    assert torch.equal(model(x), wanted)


def test_blocks_of_torchvision_can_be_cut_off_too():
    model, x = mm.patch(tiny_torchvision(), 2), randn(2, 17, 48)
    model.encoder.layers = model.encoder.layers[:2]
    assert model(images(model)).shape == (2, 10)
    assert torch.equal(model(images(model)), mm.patch(model, 2)(images(model)))
    assert mm.merge_info(model).tokens == (17, 15, 13)
    assert model.encoder(x).shape == x.shape
