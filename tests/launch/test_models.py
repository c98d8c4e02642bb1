"""A script's models are patched as asked; what cannot be is refused, and later models do not end a script's run."""

from __future__ import annotations

import logging

import pytest
import timm
import torch
from torch import nn

from timm_mergemix import MergeMixError, merge_info
from timm_mergemix.launch.models import LaterModelError, create_model
from timm_mergemix.launch.request import Request
from timm_mergemix.merge.config import MergeConfig

from .made import ask, running, tiny

MERGE = Request(training=False, merge=MergeConfig("2", matching="kth"))


def test_a_later_model_that_cannot_merge_is_an_error_that_scripts_expect() -> None:
    run = running(MERGE)
    with pytest.raises(MergeMixError, match=r"^--merge-r: .*ResNet") as first:
        create_model(run, timm.create_model, "test_resnet")
    assert not isinstance(first.value, RuntimeError)
    create_model(run, timm.create_model, "test_vit")
    with pytest.raises(LaterModelError, match=r"^--merge-r: .*ResNet"):
        create_model(run, timm.create_model, "test_resnet")
    assert issubclass(LaterModelError, RuntimeError)


def test_models_merge_as_asked(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        info = merge_info(create_model(running(MERGE), tiny))
    assert (info.r, info.matching) == (2, "kth")
    assert "Token merging, r=2: tokens 17, 15, 13, 11" in caplog.text


def test_a_model_that_is_read_is_patched_and_merges_nothing() -> None:
    run = running(ask("--mergemix", "1"))
    assert merge_info(create_model(run, tiny)).r == 0
    assert run.mixer is not None


def test_the_first_model_is_the_one_in_training() -> None:
    run = running(ask("--preference", "1", "--mixup", "1"))
    first, _ = create_model(run, tiny), create_model(run, timm.create_model, "test_resnet")
    assert run.model is first


def test_a_model_that_cannot_be_read_needs_another_encoder() -> None:
    with pytest.raises(MergeMixError, match=r"^--mergemix: .*Conv2d.*; --mergemix-encoder NAME reads another"):
        create_model(running(ask("--mergemix", "1")), nn.Conv2d, 3, 3, 1)


def test_a_model_whose_feature_maps_are_read_is_left_alone() -> None:
    run = running(ask("--mergemix", "1", "--mergemix-prob", "1"))
    model = create_model(run, timm.create_model, "test_resnet", num_classes=4)
    assert type(model) is timm.models.ResNet and run.model is model and run.backbone is None
    images, _ = run.mixer(torch.rand(4, 3, 64, 64), torch.arange(4))
    assert images.shape == (4, 3, 64, 64)


@pytest.mark.parametrize(
    ("name", "message"), [("vit_smal", "such as vit_small_"), ("google/vit", "are written hf-hub:google/vit")]
)
def test_a_name_that_timm_does_not_know_is_an_error_that_helps(name: str, message: str) -> None:
    for flags in ([], ["--mergemix", "1"]):
        with pytest.raises(MergeMixError, match=f"^--model: got '{name}', wanted .*{message}"):
            create_model(running(ask(*flags)), timm.create_model, name)


def test_an_r_that_is_far_too_large_for_the_model_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    create_model(running(Request(training=False, merge=MergeConfig(13))), tiny)
    assert "r=13 is clipped in 3 of 3 blocks of VisionTransformer" in caplog.text
    caplog.clear()
    create_model(running(MERGE), tiny)
    assert "clipped" not in caplog.text
