"""What saliency is read from: attention where a model merges, feature maps of other timm models."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from timm_mergemix import MergeMixError, patch
from timm_mergemix.merge.families import Backbone
from timm_mergemix.merge.find.feature_maps import FeatureMaps, feature_maps_of, find_encoder
from timm_mergemix.merge.find.sketch import sketch

from ...models import tiny, tiny_convnet, tiny_swin, tiny_torchvision


@pytest.mark.parametrize("model", [tiny(), patch(tiny(), 1), tiny_torchvision()])
def test_attention_comes_first(model):
    assert isinstance(find_encoder(model), Backbone)


@pytest.mark.parametrize(
    ("model", "strides"),
    [(tiny_convnet(), (2, 4, 8, 16, 32)), (tiny_swin(), (4, 8)), (tiny_convnet("test_convnext"), (4, 8, 16, 32))],
)
def test_models_whose_tokens_cannot_merge_give_feature_maps(model, strides):
    found = find_encoder(model)
    assert isinstance(found, FeatureMaps)
    assert found.model is model and found.strides == strides
    assert found.parameter is next(model.parameters())


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile])
def test_wrappers_that_do_nothing_to_images_are_looked_through(wrap):
    model = tiny_convnet()
    assert find_encoder(wrap(model)).model is model


@pytest.mark.parametrize("module", [nn.Conv2d(3, 3, 3), nn.Sequential(tiny_convnet())])
def test_what_gives_no_feature_maps_is_refused(module):
    assert feature_maps_of(module) is None
    with pytest.raises(MergeMixError, match=r"^encoder: .* is not supported: "):
        find_encoder(module)


def test_a_vision_transformer_that_cannot_be_patched_is_refused_for_that_reason():
    model = tiny()
    model.blocks[1] = nn.Identity()
    assert feature_maps_of(model) is None
    with pytest.raises(MergeMixError, match=r"^model: .*blocks.1 is of class Identity"):
        find_encoder(model, "model")


@pytest.mark.parametrize(
    ("name", "channels", "wanted"),
    [("test_resnet", 3, 3), ("test_resnet", 1, 1), ("test_resnet", 5, 5), ("tresnet_m", 3, 3), ("csatv2", 3, 3)],
)
def test_channels_are_those_of_the_images(name, channels, wanted):
    if not timm.is_model(name):
        pytest.skip(f"this release of timm has no {name}")
    given = {} if channels == 3 else {"in_chans": channels}  # some models take no such argument
    model = sketch(lambda: timm.create_model(name, **given))
    assert FeatureMaps(model).in_channels == wanted


def test_the_default_size_is_that_of_the_model_before_that_of_its_config():
    assert FeatureMaps(tiny_convnet()).default_shape == (3, 160, 160)
    assert FeatureMaps(tiny_swin()).default_shape == (3, 32, 32)
    bare = tiny_convnet()
    del bare.pretrained_cfg
    assert FeatureMaps(bare).default_shape == (3, 224, 224) and FeatureMaps(bare).in_channels == 3


@pytest.mark.parametrize("index", [0, 1, 3, -1, -2])
def test_one_feature_map_is_run_as_timm_gives_it(index):
    model = tiny_convnet()
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    found = FeatureMaps(model).run(x, index)
    assert torch.equal(found, model.forward_intermediates(x, intermediates_only=True)[index])


def test_what_comes_after_a_feature_map_does_not_run():
    model = tiny_convnet()
    model.layer4.forward = None
    assert FeatureMaps(model).view().run(torch.zeros(1, 3, 64, 64), -2).shape[-2:] == (4, 4)


def test_channels_come_first_for_models_that_have_them_last():
    assert FeatureMaps(tiny_swin()).run(torch.zeros(2, 3, 32, 32), -1).shape == (2, 16, 4, 4)


def test_a_view_is_in_eval_mode_and_shares_the_weights():
    model = tiny_convnet().train()
    view = FeatureMaps(model).view()
    assert model.training and not any(part.training for part in view.model.modules())
    assert view.parameter is next(model.parameters())
