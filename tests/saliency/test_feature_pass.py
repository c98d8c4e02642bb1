"""The saliency of models whose tokens cannot merge: a map of their features."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import timm_mergemix as mm
from timm_mergemix import MergeMixError, saliency_map
from timm_mergemix.saliency.choose import saliency_pass
from timm_mergemix.saliency.config import SaliencyConfig
from timm_mergemix.saliency.feature_pass import FeaturePass
from timm_mergemix.saliency.maps import shares, spatial_variance, with_merged_cells

from ..models import tiny_convnet, tiny_swin
from .states import assert_as_before, states

MODEL = tiny_convnet()


def pixels(batch: int = 2, side: int = 64, seed: int = 0) -> Tensor:
    return torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(seed))


def made(model: nn.Module = MODEL, **options: object) -> FeaturePass:
    found = saliency_pass(model, SaliencyConfig(**options))
    assert isinstance(found, FeaturePass)
    return found


def reference(model: nn.Module, x: Tensor, layer: int, merges: tuple[int, ...]) -> Tensor:
    with torch.no_grad():
        features = model.forward_intermediates(x, intermediates_only=True)[layer]
    cells = features.flatten(2).transpose(1, 2)
    return shares(with_merged_cells(spatial_variance(cells), cells, merges)).unflatten(1, features.shape[2:])


@pytest.mark.parametrize(("layer", "side"), [(None, 4), (-2, 4), (3, 4), (-1, 2), (1, 16)])
def test_the_map_is_the_spatial_variance_of_one_feature_map(layer: int | None, side: int) -> None:
    found = saliency_map(MODEL, pixels(), layer, r=[2, 0, 0, 0])
    assert found.shape == (2, side, side) and found.dtype == torch.float32
    torch.testing.assert_close(found, reference(MODEL, pixels(), -2 if layer is None else layer, (2,)))


@pytest.mark.parametrize(
    ("r", "merges"),
    [
        (None, ()),
        (0, ()),
        (3, (3, 3, 3, 3)),
        (6, (6, 5, 2, 1)),
        ("keep:0.5", (2, 2, 2, 2)),
        ("keep:0.25", (3, 3, 3, 3)),
        (("total", 5), (2, 1, 1, 1)),
        ([4, 0, 1, 0], (4, 0, 1, 0)),
    ],
)
def test_cells_merge_in_four_steps(r: object, merges: tuple[int, ...]) -> None:
    torch.testing.assert_close(saliency_map(MODEL, pixels(), r=r), reference(MODEL, pixels(), -2, merges))


@pytest.mark.parametrize("model", [tiny_convnet("test_convnext"), tiny_convnet("test_efficientnet"), tiny_swin()])
def test_other_models(model: nn.Module) -> None:
    x = pixels(side=32 if model.pretrained_cfg["fixed_input_size"] else 64)
    found = saliency_map(model, x)
    torch.testing.assert_close(found.sum(dim=(1, 2)), torch.ones(2))
    assert found.std() > 0


def test_an_object_stands_out() -> None:
    """Random features suffice where the ground is plain."""
    x = torch.zeros(1, 3, 96, 96)
    x[:, :, 32:64, 32:64] = pixels(1, 32)
    found = saliency_map(MODEL, x)
    assert found[0, 2:4, 2:4].mean() > 2 * found.mean()


@pytest.mark.parametrize("side", [64, 96, 160])
def test_the_size_of_a_map_is_known_before(side: int) -> None:
    saliency = made()
    assert saliency.map_size(side, side) == saliency(pixels(side=side)).shape[1:]


def test_a_size_is_tried_once() -> None:
    saliency, calls = made(saliency_scale=0.5), []
    with MODEL.conv1.register_forward_hook(lambda module, args, output: calls.append(tuple(args[0].shape))):
        for _ in range(3):
            assert saliency.map_size(128, 128) == (8, 8)
            saliency.check_size(128, 128)
        assert calls == [(1, 3, 128, 128), (1, 3, 64, 64)]
        saliency(pixels(3, 128))
    assert calls[2:] == [(3, 3, 64, 64)]


def test_at_half_the_size_the_map_is_stretched_to_the_full_grid() -> None:
    x = pixels(side=128)
    found = saliency_map(MODEL, x, r=0, scale=0.5)
    assert found.shape == (2, 8, 8)
    torch.testing.assert_close(found.sum(dim=(1, 2)), torch.ones(2))


def test_a_model_of_one_size_sees_images_at_that_size() -> None:
    model = tiny_swin()
    assert saliency_map(model, pixels(side=48)).shape == saliency_map(model, pixels(side=32)).shape == (2, 8, 8)


def test_uint8_images_are_normalised_by_the_config_of_the_model() -> None:
    x = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    mean, std = (torch.tensor(MODEL.pretrained_cfg[name]).view(3, 1, 1) for name in ("mean", "std"))
    torch.testing.assert_close(saliency_map(MODEL, x), saliency_map(MODEL, (x / 255 - mean) / std))


def test_nothing_about_the_model_is_changed() -> None:
    model = tiny_convnet().train()
    before, x = states(model), pixels()
    kept = x.clone()
    found = saliency_map(model, x)
    assert_as_before(model, before)
    assert torch.equal(x, kept) and found.grad_fn is None
    torch.testing.assert_close(found, saliency_map(model.eval(), x))


def test_inside_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = saliency_map(MODEL, pixels())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, saliency_map(MODEL, pixels()), rtol=0.2, atol=0.02)


@pytest.mark.parametrize("layer", [5, -6, "pool", 1.5])
def test_what_is_no_layer_is_refused(layer: object) -> None:
    with pytest.raises(MergeMixError, match=r"^layer: got .*, wanted the index of a (feature map, from -5 to 4|block)"):
        saliency_map(MODEL, pixels(), layer)


@pytest.mark.parametrize("r", [-1, "keep", 99, ("keep", 0.01), ("total", 16), [1, 2], [9, 0, 0, 0]])
def test_an_r_that_cannot_be_met_is_refused(r: object) -> None:
    with pytest.raises(MergeMixError, match=r"^r(\[0\])?: got"):
        saliency_map(MODEL, pixels(), r=r)


@pytest.mark.parametrize(("side", "layer"), [(16, -2), (32, -1)])
def test_a_single_cell_is_refused(side: int, layer: int) -> None:
    with pytest.raises(MergeMixError, match=rf"^images: got images of {side} x {side} pixels, of which feature map"):
        saliency_map(MODEL, pixels(side=side), layer)


def test_a_size_that_the_model_refuses_is_named() -> None:
    model = tiny_swin()
    with pytest.raises(
        MergeMixError, match=r"^saliency_scale: images: SwinTransformer does not take images of 16 x 16"
    ):
        mm.MergeMix(model, saliency_scale=0.5, mergemix_prob=1.0)(pixels(side=32), torch.arange(2))
    model.forward_intermediates = None
    with pytest.raises(MergeMixError, match=r"^images: SwinTransformer does not take images of 32 x 32 pixels"):
        saliency_map(model, pixels(side=32))


def test_images_of_other_channels_are_refused() -> None:
    with pytest.raises(MergeMixError, match=r"^images: got a float32 tensor of shape \(2, 1, 64, 64\)"):
        saliency_map(MODEL, pixels()[:, :1])


def test_a_training_pass_is_not_read() -> None:
    saliency = made()
    assert "feature map" in saliency.reason_against_reading()
    with pytest.raises(MergeMixError, match=r"^saliency: it cannot be read from a training pass"):
        saliency.reading(pixels())
