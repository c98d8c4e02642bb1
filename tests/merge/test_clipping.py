"""A warning says where r is far too large for a model, what is left of its tokens, and what to take instead."""

from __future__ import annotations

import re
import warnings

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import timm_mergemix as mm
from timm_mergemix.merge.clipping import clipping
from timm_mergemix.merge.find.search import find_backbone
from timm_mergemix.merge.schedule import clipped_blocks, parse


def made(size: int = 64, depth: int = 12, **options: object) -> nn.Module:
    return timm.models.VisionTransformer(
        size, 16, embed_dim=8, depth=depth, num_heads=1, num_classes=2, **options
    ).eval()


@pytest.fixture(autouse=True)
def none_expected() -> object:
    """What a test does not expect is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_an_r_for_large_images_collapses_small_ones() -> None:
    with pytest.warns(UserWarning, match="is clipped") as seen:
        mm.patch(made(), 13)
    assert [str(each.message) for each in seen] == [
        "r=13 is clipped in 12 of 12 blocks of VisionTransformer, since a block merges at most half of its patch "
        "tokens: images of 64 x 64 pixels leave 17, 9, 5, 3, 2 tokens. Take r=1, or a share of the tokens, such as "
        "r='keep:0.25'."
    ]
    assert seen[0].filename == __file__


def test_a_context_and_a_decreasing_r_are_no_exception() -> None:
    wanted = r"^r=\('decreasing', 13\) is clipped in \d+ of 12 blocks"
    with pytest.warns(UserWarning, match=wanted) as seen, mm.merging(made(), ("decreasing", 13)):
        pass
    assert seen[0].filename == __file__
    with pytest.warns(UserWarning, match="r=20 is clipped in 4 of 12"):
        mm.patch(made(224), "20")


@given(st.integers(2, 30), st.sampled_from([1, 2, 3, 6, 12]), st.sampled_from([32, 48, 64, 96]))
@settings(max_examples=25, deadline=None)
def test_what_the_warning_says_to_take_is_not_clipped(r: int, depth: int, size: int) -> None:
    model = made(size, depth)
    message = clipping(find_backbone(model), parse(r, depth))
    for smaller, share in re.findall(r"Take (?:r=(\d+), or )?a share of the tokens, such as r='(.*)'", message):
        mm.patch(model, share)
        if smaller:
            mm.patch(model, int(smaller))
            assert clipped_blocks(parse(int(smaller), depth), (size // 16) ** 2) == 0
    assert bool(message) == (clipped_blocks(parse(r, depth), (size // 16) ** 2) > max(1, depth / 4))


@pytest.mark.parametrize("r", [0, 13, 16, ("decreasing", 13), "keep:0.1", "total:150", [9] * 12])
def test_a_schedule_that_fits_is_not_warned_of(r: object) -> None:
    model = made(224)
    with mm.merging(mm.patch(model, r), r), torch.inference_mode():
        model(torch.zeros(1, 3, 224, 224))


def test_the_defaults_of_saliency_and_a_search_for_r_are_not_warned_of() -> None:
    model, images = made(), torch.rand(2, 3, 64, 64)
    mm.saliency_map(model, images)
    mm.MergeMix(model, mergemix_prob=1.0)(images, torch.tensor([0, 1]))
    mm.tune_r(model, tokens=3, images=images, rounds=1)


def test_without_a_size_nothing_is_said() -> None:
    class Sizeless:
        default_size = None

    assert clipping(Sizeless(), parse(13, 12)) == ""
