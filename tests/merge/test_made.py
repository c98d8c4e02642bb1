"""The class of a patched model or block makes plain ones."""

import pytest
import torch
from timm.models.vision_transformer import Block, VisionTransformer

import timm_mergemix as mm

from ..models import tiny


def test_the_class_of_a_patched_model_makes_plain_ones_that_can_be_patched():
    patched = mm.patch(tiny(), 3)
    model = type(patched)(img_size=16, patch_size=4, num_classes=3, embed_dim=8, depth=2, num_heads=2)
    assert type(model) is VisionTransformer
    x = torch.randn(2, 3, 16, 16)
    plain = model(x)
    assert torch.equal(mm.patch(model, 0)(x), plain)
    assert mm.merge_info(mm.patch(model, 2)).tokens == (17, 15, 13)


def test_the_class_of_a_merging_block_makes_plain_ones():
    model = mm.patch(tiny(), 3)
    block = type(model.blocks[0])(dim=8, num_heads=2)
    assert type(block) is Block
    x = torch.randn(2, 5, 8)
    assert block(x).shape == x.shape


def test_arguments_are_checked_as_those_of_the_plain_class():
    with pytest.raises(TypeError, match="no_such_argument"):
        type(mm.patch(tiny(), 3))(no_such_argument=1)
