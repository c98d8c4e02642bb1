"""Eval mode for a while, after which every module has its own mode again."""

from __future__ import annotations

import pytest
from torch import nn

from timm_mergemix.merge.modes import evaluating


def mixed_modes() -> nn.Module:
    model = nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm1d(2), nn.ReLU()))
    model[1].eval()
    model[1][1].train()
    return model


def modes(model: nn.Module) -> list[bool]:
    return [module.training for module in model.modules()]


def test_all_modules_are_in_eval_mode_inside_and_in_their_own_after() -> None:
    model = mixed_modes()
    before = modes(model)
    assert True in before and False in before
    with evaluating(model):
        assert not any(modes(model))
    assert modes(model) == before


def test_modes_come_back_after_an_error() -> None:
    model = mixed_modes()
    before = modes(model)
    with pytest.raises(KeyError), evaluating(model):
        raise KeyError
    assert modes(model) == before
