"""A patcher patches supported models on one side, and counts them on both."""

import pytest
import timm
from torch import nn

import timm_mergemix as mm
from tools.peers.patched import Patcher


@pytest.mark.parametrize("patches", [False, True])
def test_one_side_patches_and_both_count(patches: bool) -> None:
    patcher = Patcher(patches)
    model = patcher(timm.create_model("test_vit"))
    assert isinstance(model, mm.merge.model.MergingModel) is patches
    patcher(nn.Linear(2, 2))
    assert patcher.count == 1
