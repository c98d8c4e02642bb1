"""What timm's plain transformer models have in common: where things are, and what may change while patched."""

import pytest
import torch

import timm_mergemix as mm
from timm_mergemix.merge.families.vit import VitBackbone

from ...models import images, tiny
from ..reference import randn, sequence_lengths
from .cases import build


def test_heads_and_sizes_can_be_changed_while_patched():
    model = mm.patch(tiny(), 3)
    model.reset_classifier(7, "avg")
    assert model(images(model)).shape == (2, 7)
    model.set_input_size((96, 96))
    assert mm.merge_info(model).tokens == (37, 34, 31, 28)
    with mm.record(model) as rec:
        model(randn(1, 3, 96, 96))
    assert sequence_lengths(rec.layers) == [34, 31, 28]


@pytest.mark.parametrize(
    ("case", "prefix", "class_token"),
    [
        ("vit", 1, True),
        ("distilled", 2, True),
        ("registers", 5, True),
        ("average, registers", 4, False),
        ("attention pool", 0, False),
    ],
)
def test_the_family_knows_prefix_tokens_and_class_token(case, prefix, class_token):
    model = build(case)
    assert VitBackbone(model).prefix_tokens == prefix
    assert VitBackbone(model).has_class_token is class_token
    assert model.forward_features(images(model)).shape[1] == prefix + 16


def test_the_family_knows_sizes_grids_and_channels():
    fixed, dynamic = tiny(img_size=(64, 96)), tiny(dynamic_img_size=True, in_chans=5)
    assert VitBackbone(fixed).default_size == (64, 96)
    assert VitBackbone(fixed).input_size(30, 40) == (64, 96)
    assert VitBackbone(dynamic).input_size(30, 40) == (32, 48)
    assert VitBackbone(fixed).grid_size(64, 96) == (4, 6)
    assert VitBackbone(dynamic).grid_size(32, 48) == (2, 3)
    assert (VitBackbone(fixed).in_channels, VitBackbone(dynamic).in_channels) == (3, 5)
    assert VitBackbone(build("hybrid", in_chans=4)).in_channels == 4


def test_the_attention_of_the_pool_counts_its_position_embeddings():
    model = tiny(global_pool="map", class_token=False)
    x = randn(2, 16, 48)
    plain = VitBackbone(model).pool_attention(x)
    model.attn_pool.pos_embed = torch.nn.Parameter(randn(16, 48, seed=1))
    wanted = VitBackbone(model).pool_attention(x)
    assert not torch.equal(plain, wanted)
    x = x + model.attn_pool.pos_embed
    model.attn_pool.pos_embed = None
    torch.testing.assert_close(VitBackbone(model).pool_attention(x), wanted)
