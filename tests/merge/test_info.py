"""What is read from a patched model: its recordings and its `merge_info`."""

import pytest
import torch

import timm_mergemix as mm
from timm_mergemix import MergeMixError

from ..models import images, tiny
from .families.cases import build
from .patched import assert_unchanged, both_families, merging_state, snapshot
from .reference import sequence_lengths


@both_families
@pytest.mark.parametrize("patched", [False, True])
def test_a_recording_has_sizes_sources_and_attention_of_each_forward(build, patched):
    model = build()
    if patched:
        mm.patch(model, [5, 0, 3])
    x = images(model, batch=3)
    before, wanted = snapshot(model), model(x)
    with mm.record(model) as rec:
        assert torch.equal(model(x), wanted)
        model(x[:1])
    assert_unchanged(before, model)
    assert [len(layers) for layers in rec.forwards] == [3, 3]
    assert [layers[0].source.shape[0] for layers in rec.forwards] == [3, 1]
    assert rec.layers is rec.forwards[1]
    assert sequence_lengths(rec.layers) == ([12, 12, 9] if patched else [17, 17, 17])
    for layer in rec.forwards[0]:
        kept = layer.size.shape[1]
        assert layer.source.shape == (3, 17)
        assert (layer.size.sum(1) == 17).all()
        for b in range(3):
            assert layer.source[b].bincount(minlength=kept).tolist() == layer.size[b].tolist()
        assert (layer.source[:, 0] == 0).all()
        assert layer.attention.shape == (3, 16)
        assert (layer.attention > 0).all()
        assert not layer.attention.requires_grad
    model(x)
    assert len(rec.forwards) == 2


def test_a_recording_can_leave_attention_out():
    model = mm.patch(tiny(), 2)
    with mm.record(model, attention=False) as rec:
        model(images(model))
    assert [layer.attention for layer in rec.layers] == [None, None, None]


def test_merge_info_says_how_many_tokens_each_block_leaves():
    model = mm.patch(build("registers"), ("decreasing", 3))
    info = mm.merge_info(model)
    assert info.r == ("decreasing", 3)
    assert info.merges == (6, 3, 0)
    assert info.prefix_tokens == 5
    assert info.tokens == (21, 15, 12, 12)
    assert info.prop_attn
    assert not info.grad_checkpointing


def test_merge_info_shows_what_clipping_left():
    assert mm.merge_info(mm.patch(tiny(), 100)).merges == (8, 4, 2)


def test_merge_info_tells_tokens_at_another_size_that_the_model_takes():
    model = mm.patch(tiny(dynamic_img_size=True), ("keep", 0.5))
    assert mm.merge_info(model, (96, 32)).tokens == (13, 11, 9, 7)
    with pytest.raises(MergeMixError, match=r"image_size: got \(90, 30\), wanted \(96, 32\), or another size"):
        mm.merge_info(model, (90, 30))
    padding = mm.patch(tiny(dynamic_img_size=True, dynamic_img_pad=True), ("keep", 0.5))
    assert mm.merge_info(padding, (90, 30)).tokens == (13, 11, 9, 7)
    model = mm.patch(tiny(), 1)
    assert mm.merge_info(model, (64, 64)).tokens[0] == 17
    with pytest.raises(MergeMixError, match=r"image_size: got \(96, 32\), wanted \(64, 64\), or another"):
        mm.merge_info(model, (96, 32))


@pytest.mark.parametrize("size", [64, (64,), (64, 64, 3), (0, 64), (64, -1), (64.0, 64), "ab", (True, 64)])
def test_merge_info_refuses_a_bad_image_size(size):
    with pytest.raises(MergeMixError, match=r"^image_size"):
        mm.merge_info(mm.patch(tiny(), 1), size)


def test_merge_info_wants_a_size_where_there_is_none():
    model = mm.patch(tiny(dynamic_img_size=True), 2)
    model.patch_embed.img_size = None
    with pytest.raises(MergeMixError, match="image_size: got None"):
        mm.merge_info(model)
    assert mm.merge_info(model, (64, 64)).merges == (2, 2, 2)
    mm.patch(model, ("total", 1000))
    with pytest.raises(MergeMixError, match="at most 14"):
        model(images(tiny()))


@pytest.mark.parametrize("function", [mm.merge_info, merging_state])
def test_an_unpatched_model_has_no_info(function):
    with pytest.raises(MergeMixError, match=r"wanted a patched model, see timm_mergemix\.patch"):
        function(tiny())
