"""What holds for a family that says nothing else, and how a model finds its own."""

import pytest
import timm
from torch import nn

import timm_mergemix as mm
from timm_mergemix import MergeMixError
from timm_mergemix.merge.families import BLOCKS, FAMILIES, Family, family_of

from ...models import tiny, tiny_torchvision


class Plain(Family):
    """The methods that must be given, and no more."""

    def find_blocks(self, model):
        return [model]

    def prefix_tokens(self, model):
        return 0

    def has_class_token(self, model):
        return False

    def input_size(self, model, height, width):
        return height, width

    def grid_size(self, model, height, width):
        return height, width

    def default_size(self, model):
        return None

    def in_channels(self, model):
        return 3

    def features(self, model, images):
        return images


def test_defaults_of_a_family():
    family, model = Plain(), nn.Linear(2, 2)
    assert family.pool(model) is None
    family.check_grid(model)
    with pytest.raises(MergeMixError, match="layer: Linear has no attention pool"):
        family.pool_attention(model, None)


def test_a_family_must_say_where_its_blocks_are():
    with pytest.raises(TypeError, match="abstract"):
        Family()


@pytest.mark.parametrize("build", [tiny, tiny_torchvision])
def test_a_model_has_the_same_family_patched_and_not(build):
    model = build()
    family = family_of(model)
    assert family in FAMILIES
    assert family_of(mm.patch(model, 2)) is family
    assert family_of(mm.unpatch(model)) is family


def test_unknown_classes_have_none():
    assert family_of(nn.Linear(2, 2)) is None
    assert family_of(timm.create_model("resnet18")) is None


def test_merging_classes_can_be_found_by_pickles():
    pairs = [*BLOCKS.items(), *(pair for family in FAMILIES for pair in family.models.items())]
    for plain, merging in pairs:
        assert issubclass(merging, plain)
        assert "<locals>" not in merging.__qualname__
