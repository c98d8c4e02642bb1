"""What can be patched, and why not."""

import pytest
import timm
import torch
from torch import nn

from timm_mergemix import MergeMixError, supported

from ..models import tiny, tiny_torchvision
from .reference import MODELS, Wrapper


@pytest.mark.parametrize("name", MODELS)
def test_names_of_plain_transformers_are_supported(name):
    report = supported(name)
    assert report
    assert report.name == name
    assert report.family == "timm VisionTransformer"
    assert report.blocks >= 12
    assert str(report) == f"{name}: supported as timm VisionTransformer, merges in {report.blocks} blocks"


def test_a_pretrained_tag_is_part_of_a_name():
    assert supported("vit_tiny_patch16_224.augreg_in21k")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("resnet18", "no adapter for ResNet"),
        ("swin_tiny_patch4_window7_224", "no adapter for SwinTransformer"),
        ("beit_base_patch16_224", "no adapter for Beit with Block blocks"),
        ("vit_relpos_small_patch16_224", "no adapter for VisionTransformerRelPos with RelPosBlock blocks"),
    ],
)
def test_others_are_not_and_say_why(name, reason):
    report = supported(name)
    assert not report
    assert reason in report.reason
    assert report.family is None
    assert report.blocks == 0
    assert str(report) == f"{name}: not supported: {report.reason}"


def test_modules_are_looked_at_and_left_alone():
    model = tiny()
    before = {name: dict(module.__dict__) for name, module in model.named_modules()}
    report = supported(Wrapper(model))
    assert (report.name, report.blocks, bool(report)) == ("Wrapper", 3, True)
    assert {name: dict(module.__dict__) for name, module in model.named_modules()} == before
    assert supported(tiny_torchvision()).family == "torchvision VisionTransformer"


def test_two_models_are_not_one():
    report = supported(nn.ModuleList([tiny(), tiny()]))
    assert not report
    assert "0, 1; pass one of them" in report.reason


@pytest.mark.parametrize("name", ["vit_tiny_patch16_2240", "no_such_model", ""])
def test_an_unknown_name_is_an_error(name):
    with pytest.raises(MergeMixError, match=f"^model: got '{name}', wanted the name of a timm model"):
        supported(name)


def test_an_unknown_name_comes_with_suggestions():
    with pytest.raises(MergeMixError, match="such as deit_tiny_patch16_224"):
        supported("deit_tiny_patch16_225")


def test_models_that_cannot_be_built_on_meta_are_built(monkeypatch):
    create, devices = timm.create_model, []

    def create_model(name, **options):
        devices.append(torch.empty(0).device.type)
        if devices[-1] == "meta":
            raise NotImplementedError
        return create(name, depth=1, **options)

    monkeypatch.setattr(timm, "create_model", create_model)
    assert supported("vit_tiny_patch16_224").blocks == 1
    assert devices == ["meta", "cpu"]
