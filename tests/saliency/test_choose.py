"""Which saliency is read of an encoder."""

from __future__ import annotations

import pytest
from torch import nn

from timm_mergemix import MergeMixError, patch
from timm_mergemix.saliency.choose import saliency_pass
from timm_mergemix.saliency.config import SaliencyConfig
from timm_mergemix.saliency.feature_pass import FeaturePass
from timm_mergemix.saliency.passes import SaliencyPass

from ..models import tiny, tiny_convnet, tiny_swin, tiny_torchvision


@pytest.mark.parametrize("encoder", [tiny(), tiny_torchvision(), patch(tiny(), 1), nn.DataParallel(tiny())])
def test_the_attention_of_vision_transformers(encoder: nn.Module) -> None:
    assert isinstance(saliency_pass(encoder, SaliencyConfig()), SaliencyPass)


@pytest.mark.parametrize("encoder", [tiny_convnet(), tiny_swin(), nn.DataParallel(tiny_convnet())])
def test_the_feature_maps_of_other_timm_models(encoder: nn.Module) -> None:
    assert isinstance(saliency_pass(encoder, SaliencyConfig()), FeaturePass)


@pytest.mark.parametrize("encoder", [None, nn.Conv2d(3, 3, 3), nn.Sequential(tiny_convnet())])
def test_nothing_of_others(encoder: object) -> None:
    with pytest.raises(MergeMixError, match=r"^encoder: "):
        saliency_pass(encoder, SaliencyConfig())
