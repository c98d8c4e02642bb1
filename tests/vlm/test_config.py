"""Settings for making losers: their defaults, and the values that are refused."""

from __future__ import annotations

import inspect
from dataclasses import fields

import pytest

from timm_mergemix import MergeMixError
from timm_mergemix.saliency.config import SaliencyConfig
from timm_mergemix.vlm import ImageMixer
from timm_mergemix.vlm.config import ENCODED, KINDS, ImageMixConfig

from .made import KINDS as TESTED


def test_the_tests_cover_every_kind():
    assert KINDS == TESTED
    assert set(ENCODED) <= set(KINDS)


@pytest.mark.parametrize("config", [ImageMixConfig, SaliencyConfig])
def test_the_mixers_signature_has_each_setting_with_its_default(config):
    parameters = inspect.signature(ImageMixer).parameters
    for each in fields(config):
        assert parameters[each.name].default == each.default, each.name


@pytest.mark.parametrize("words", [None, (), ("yes", "no"), ["maybe"]])
def test_leave_out_accepts_none_and_sequences_of_words(words):
    assert ImageMixConfig(leave_out=words).leave_out == words


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "grid"}, r"^kind: got 'grid', wanted one of 'mergemix', 'random', 'cutmix', 'mixup', 'resizemix'"),
        ({"alpha": 0}, "^alpha: got 0, wanted a finite number > 0"),
        ({"alpha": float("inf")}, "^alpha: got inf"),
        ({"store": -1}, "^store: got -1, wanted an integer >= 0"),
        ({"store": 1.5}, "^store: got 1.5"),
        ({"leave_out": "yes"}, r"^leave_out: got 'yes', wanted a list of words, such as \('yes', 'no'\), or \(\)"),
        ({"leave_out": ("yes", "")}, "^leave_out: got"),
        ({"leave_out": (1,)}, "^leave_out: got"),
    ],
)
def test_a_value_out_of_its_range_is_refused_by_name(options, message):
    with pytest.raises(MergeMixError, match=message):
        ImageMixConfig(**options)


def test_leave_out_refuses_a_value_that_is_not_a_list():
    with pytest.raises(MergeMixError, match=r"^leave_out: got 3, wanted a list of words"):
        ImageMixConfig(leave_out=3)
