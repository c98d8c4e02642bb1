"""A patched model recovers all tokens wherever something reads more of them than the prefix tokens."""

import pytest
import torch

import timm_mergemix as mm
from timm_mergemix.merge.model import MergingModel

from ..models import images, tiny
from .reference import randn
from .test_blocks import Model, TokenModel, build


@pytest.mark.parametrize(("cls", "length"), [(Model, 9), (TokenModel, 6)])
def test_the_model_recovers_where_its_head_reads_patches(cls, length):
    assert build(1, cls=cls)(randn(2, 9, 4)).shape[1] == length


def test_the_head_reads_patches_unless_a_subclass_knows_better():
    assert MergingModel.head_reads_patches(build(0))


@pytest.mark.parametrize("name", ["forward_head", "pool"])
def test_a_head_of_the_users_own_reads_all_tokens(name):
    model = mm.patch(tiny(global_pool="token"), 4)
    setattr(model, name, lambda x, pre_logits=False: x[:, 1:].mean(dim=1))
    x = images(model)
    tokens = model.forward_features(x)
    assert tokens.shape[1] == 17
    wanted = model.forward_head(tokens)
    assert torch.equal(model(x), wanted)


def test_a_forward_that_somebody_kept_runs_after_the_model_was_unpatched():
    model = tiny()
    x = images(model)
    plain = model(x)
    kept = mm.patch(model, 3).forward
    mm.unpatch(model)
    assert torch.equal(kept(x), plain)
