"""What the tests of patched models share: models, and what must stay as it was."""

import pytest
import torch

from timm_mergemix.merge.families import keys, lent
from timm_mergemix.merge.find.search import find_backbone
from timm_mergemix.merge.info import state_of

from ..models import tiny, tiny_torchvision

both_families = pytest.mark.parametrize("build", [tiny, tiny_torchvision])


def merging_state(model):
    """What the blocks of a patched model share."""
    return state_of(find_backbone(model))


def blocks_of(model):
    return model.blocks if hasattr(model, "blocks") else model.encoder.layers


def snapshot(model):
    """Classes and attributes of all modules; what is mutable is copied."""
    return {
        name: (
            type(module),
            {key: dict(value) if isinstance(value, dict) else value for key, value in module.__dict__.items()},
        )
        for name, module in model.named_modules()
    }


def assert_unchanged(before, model):
    after = snapshot(model)
    assert list(after) == list(before)
    for name, (cls, attributes) in before.items():
        assert after[name][0] is cls
        assert list(after[name][1]) == list(attributes)
        for key, value in attributes.items():
            assert same(value, after[name][1][key]), (name, key)


def same(one, other):
    if isinstance(one, dict):
        return list(one) == list(other) and all(one[key] is other[key] for key in one)
    return one is other or one == other


def assert_holds_no_tensor(model):
    for module in model.modules():
        state = module.__dict__.values()
        assert not any(isinstance(value, torch.Tensor) for value in state), type(module)
    current = merging_state(model).here.current
    held = () if current is None else (current.tokens, current.valid, current.aside, current.handover)
    assert all(each is None for each in held)
    assert keys._HERE.waiting is None and lent._HERE.lent is None
