"""How a patched model merges, as plain values."""

import dataclasses

import pytest

from timm_mergemix.merge.schedule import parse
from timm_mergemix.merge.settings import Layout, Settings


def test_settings_are_compared_by_value_and_cannot_be_changed():
    assert Settings(parse(2, 3)) == Settings(parse(2, 3)) != Settings(parse(2, 3), matching="kth")
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings(parse(2, 3)).prop_attn = False


def test_both_ends_are_protected():
    assert Layout(2, 3).protected == 5
    assert Layout(1).protected == 1
