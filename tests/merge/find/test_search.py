"""The one supported model inside whatever comes."""

import pytest
import torch
from torch import nn

import timm_mergemix as mm
from timm_mergemix import MergeMixError
from timm_mergemix.merge.find.search import find_backbone, reason_against

from ...models import tiny, tiny_torchvision
from ..reference import Wrapper


@pytest.mark.parametrize("build", [tiny, tiny_torchvision])
def test_a_model_is_found_by_itself_and_inside(build):
    model = build()
    for outer in (model, Wrapper(model), nn.Sequential(nn.Conv2d(3, 3, 1), Wrapper(model))):
        backbone = find_backbone(outer)
        assert backbone.model is model
        assert len(backbone.blocks) == 3
    assert reason_against(backbone) is None
    mm.patch(model, 2)
    assert find_backbone(Wrapper(model)).model is model


def test_one_model_held_twice_is_one_model():
    model = tiny()
    assert find_backbone(nn.ModuleList([model, Wrapper(model)])).model is model


def test_two_models_are_refused_with_both_names():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.student, self.teacher = tiny(), tiny_torchvision()

    with pytest.raises(MergeMixError, match=r"it holds 2: student, teacher; pass one of them"):
        find_backbone(Pair())


@pytest.mark.parametrize("model", [None, "vit_tiny_patch16_224", torch.zeros(2), tiny])
def test_what_is_no_module_is_refused(model):
    with pytest.raises(MergeMixError, match=r"^encoder: got .*, wanted a torch\.nn\.Module"):
        find_backbone(model, "encoder")


def test_some_of_a_models_blocks_are_refused_with_the_way_to_do_it():
    model = tiny()
    with pytest.raises(
        MergeMixError, match="blocks: got some of those of VisionTransformer, wanted all of them; to merge in only some"
    ):
        mm.patch(model, 3, blocks=list(model.blocks)[1:])
    assert not hasattr(model.blocks[1], "merging")


def test_of_two_models_the_patched_one_is_meant():
    pair = nn.ModuleList([tiny(), tiny()])
    mm.patch(pair, 3, blocks="1.blocks")
    assert find_backbone(pair).model is pair[1]
    assert mm.merge_info(pair).r == 3
    mm.unpatch(pair)
    with pytest.raises(MergeMixError, match="it holds 2"):
        find_backbone(pair)
