"""A pass at a smaller size gives a map on the full grid."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from timm_mergemix import MergeMix, MergeMixError, merge_info, patch, saliency_map
from timm_mergemix.merge.find.search import find_backbone
from timm_mergemix.saliency.size import PassSize

from ..merge.families.cases import BUILDERS, build
from ..mix.batches import quick
from ..models import images, tiny, tiny_torchvision
from .states import assert_as_before, states

RESAMPLED = ["vit", "distilled", "LayerScale", "dinov2"]


def pass_size(model: nn.Module, scale: float) -> PassSize:
    return PassSize(find_backbone(model), scale)


@pytest.mark.parametrize("name", RESAMPLED)
def test_a_small_pass_gives_a_map_on_the_full_grid(name: str) -> None:
    model = build(name)
    before = states(model)
    maps = saliency_map(model, images(model), scale=0.5, r=1)
    assert maps.shape == saliency_map(model, images(model)).shape
    torch.testing.assert_close(maps.sum(dim=(1, 2)), torch.ones(len(maps)))
    assert (maps > 0).all() and maps.flatten(1).std(dim=1).min() > 0
    assert_as_before(model, before)
    assert not model.dynamic_img_size and model.patch_embed.flatten


def test_the_map_is_that_of_the_shrunk_image_interpolated() -> None:
    fixed, x = tiny(), images(tiny())
    small = nn.functional.interpolate(x, size=(32, 32), mode="bilinear", antialias=True)
    dynamic = tiny(dynamic_img_size=True)
    dynamic.load_state_dict(fixed.state_dict())
    expected = nn.functional.interpolate(saliency_map(dynamic, small)[:, None], size=(4, 4), mode="bilinear")[:, 0]
    expected = expected / expected.sum(dim=(1, 2), keepdim=True)
    torch.testing.assert_close(saliency_map(fixed, x, scale=0.5), expected)
    torch.testing.assert_close(saliency_map(dynamic, x, scale=0.5), expected)


@quick
@given(st.floats(0.3, 1), st.integers(64, 128), st.integers(64, 128))
def test_sizes_are_whole_patches_and_never_larger_than_the_images_need(scale: float, height: int, width: int) -> None:
    size = pass_size(tiny(dynamic_img_size=True), scale)
    rows, columns = size.of(height, width)
    assert rows % 16 == 0 and columns % 16 == 0
    for side, least in ((rows, height), (columns, width)):
        assert scale * least <= side < scale * (least + 15) + 17


def test_sizes_are_rounded_up() -> None:
    assert pass_size(tiny(dynamic_img_size=True), 0.34).of(96, 96) == (48, 48)  # 32.64 pixels, patches of 16
    assert pass_size(tiny(dynamic_img_size=True), 0.55).of(160, 160) == (96, 96)  # 88 pixels, but for rounding


@pytest.mark.parametrize("side", [20, 128])
def test_the_size_is_a_share_of_what_the_encoder_else_sees(side: int) -> None:
    fixed, dynamic = pass_size(tiny(), 0.5), pass_size(tiny(dynamic_img_size=True), 0.5)
    assert fixed.of(side, side) == (32, 32)
    if side == 128:
        assert dynamic.of(side, side) == (64, 64)
    x = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    assert saliency_map(tiny(), x, scale=0.5).flatten(1).std(dim=1).min() > 0


def test_a_single_patch_is_refused() -> None:
    with pytest.raises(
        MergeMixError, match=r"scale: got 0.25, wanted a larger share, since this one leaves a single patch"
    ):
        MergeMix(tiny(), 10, saliency_scale=0.25)
    with pytest.raises(MergeMixError, match=r"scale: got 0.5, wanted a larger share"):
        saliency_map(tiny(dynamic_img_size=True), torch.randn(1, 3, 20, 20), scale=0.5)


def test_a_patched_model_keeps_its_schedule() -> None:
    model = patch(tiny(), 2)
    before = merge_info(model)
    MergeMix(model, 10, mergemix_prob=1.0, saliency_r=1, saliency_scale=0.5).mix(images(model), torch.arange(2))
    assert merge_info(model) == before


def test_only_a_view_of_the_model_takes_other_sizes() -> None:
    model = tiny()
    view = pass_size(model, 0.5).view().model
    assert view.dynamic_img_size and not view.patch_embed.strict_img_size
    assert view(images(model)[..., :32, :32]).shape == (2, 10)
    assert not model.dynamic_img_size
    assert model.patch_embed.strict_img_size and model.patch_embed.flatten


@pytest.mark.parametrize("make", [tiny_torchvision, BUILDERS["beit"]])
def test_models_of_one_size_are_refused(make: object) -> None:
    with pytest.raises(MergeMixError, match=r"scale: got 0.5, wanted 1, since this .* takes images of 64 x 64 pixels"):
        MergeMix(make(), 10, saliency_scale=0.5)  # type: ignore[operator]


@pytest.mark.parametrize("scale", [0, 0.05, 1.5, float("nan"), "half", True])
def test_scales_out_of_range_are_refused(scale: object) -> None:
    with pytest.raises(MergeMixError, match="scale: got"):
        MergeMix(tiny(), 10, saliency_scale=scale)  # type: ignore[arg-type]


def test_merging_that_does_not_fit_the_small_grid_is_refused_at_once() -> None:
    MergeMix(tiny(), 10, saliency_r=[4, 2, 0])
    with pytest.raises(MergeMixError, match=r"r\[0\]: got 4, wanted at most 2"):
        MergeMix(tiny(), 10, saliency_r=[4, 2, 0], saliency_scale=0.5)
