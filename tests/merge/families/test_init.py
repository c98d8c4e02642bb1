"""Each class of model has its family, and each class of block its merging class."""

import pytest
import timm
from torch import nn

import timm_mergemix as mm
from timm_mergemix.merge.families import BLOCKS, FAMILIES, PLAIN_BLOCKS, family_of, is_touched

from .cases import BUILDERS, blocks, each_case, transformer


@each_case
def test_a_model_has_the_same_family_patched_and_not(case):
    model = transformer(BUILDERS[case]())
    family = family_of(model)
    assert family in FAMILIES
    assert family_of(mm.patch(model, 2)) is family
    assert family_of(mm.unpatch(model)) is family


def test_unknown_classes_have_no_family():
    assert family_of(nn.Linear(2, 2)) is None
    assert family_of(timm.create_model("resnet18")) is None


def test_merging_classes_can_be_found_by_pickles():
    pairs = [*BLOCKS.items(), *(pair for family in FAMILIES for pair in family.models.items())]
    for plain, merging in pairs:
        assert issubclass(merging, plain)
        assert "<locals>" not in merging.__qualname__


def test_each_merging_class_belongs_to_one_plain_class():
    assert {PLAIN_BLOCKS[merging]: merging for merging in BLOCKS.values()} == BLOCKS
    models = [plain for family in FAMILIES for plain in family.models]
    assert len(models) == len(set(models))


@pytest.mark.parametrize("case", ["vit", "beit", "cait", "relpos"])
def test_a_module_is_touched_while_its_model_is_patched(case):
    model = BUILDERS[case]()
    mm.patch(model, 2)
    assert all(any(is_touched(module) for module in block.modules()) for block in blocks(model))
    mm.unpatch(model)
    assert not any(is_touched(module) for module in model.modules())
