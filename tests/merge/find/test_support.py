"""What can be patched, and why not."""

import pytest
import timm
import torch
from torch import nn

from timm_mergemix import MergeMixError, patch, supported
from timm_mergemix.merge.find.support import Support, check_name, like

from ...models import tiny, tiny_torchvision
from ..families.cases import CASES, VIT, known
from ..reference import Wrapper


@pytest.mark.parametrize("name", sorted({CASES[case][0] for case in known(VIT)}))
def test_names_of_plain_transformers_are_supported(name):
    report = supported(name)
    assert report
    assert report.name == name
    assert report.family == "timm VisionTransformer"
    assert report.blocks >= 12
    assert report.merges == f"{report.blocks} x {report.classes[0][0]}"
    assert str(report) == f"{name}: supported as timm VisionTransformer, merges in {report.merges}"


def test_blocks_are_counted_by_class():
    report = supported("eva02_tiny_patch14_224")
    assert (report.blocks, report.classes, report.merges) == (12, (("EvaBlock", 12),), "12 x EvaBlock")
    two = Support("x", "y", 5, classes=(("A", 2), ("B", 3)))
    assert str(two) == "x: supported as y, merges in 2 x A + 3 x B"


def test_a_patched_model_is_reported_as_before():
    model = tiny()
    before = supported(model)
    assert supported(patch(model, r=1)).classes == before.classes == (("Block", 3),)


def test_a_pretrained_tag_is_part_of_a_name():
    assert supported("vit_tiny_patch16_224.augreg_in21k")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("resnet18", "no merging class for ResNet"),
        ("swin_tiny_patch4_window7_224", ""),
        ("tnt_s_patch16_224", ""),
        ("convit_tiny", ""),
    ],
)
def test_other_models_are_not_supported_and_say_why(name, reason):
    report = supported(name)
    assert not report
    assert report.reason and reason in report.reason
    assert report.family is None
    assert (report.blocks, report.classes, report.merges) == (0, (), "")
    strides = ", ".join(map(str, dict.fromkeys(report.strides)))
    assert report.reads == (f"feature maps of stride {strides}" if strides else "")
    reads = f"; MergeMix reads its {report.reads}" if strides else ""
    assert str(report) == f"{name}: cannot be patched: {report.reason}{reads}"


@pytest.mark.parametrize(
    ("name", "strides"), [("resnet18", (2, 4, 8, 16, 32)), ("swin_tiny_patch4_window7_224", (4, 8, 16, 32))]
)
def test_feature_maps_that_can_be_read_are_told_by_their_strides(name, strides):
    assert supported(name).strides == strides


def test_what_gives_neither_attention_nor_feature_maps():
    report = supported(nn.Conv2d(3, 3, 1))
    assert (report.strides, report.reads) == ((), "")
    assert str(report) == f"Conv2d: cannot be patched: {report.reason}"
    assert supported(tiny()).reads == "attention"


def test_modules_are_looked_at_and_left_alone():
    model = tiny()
    before = {name: dict(module.__dict__) for name, module in model.named_modules()}
    report = supported(Wrapper(model))
    assert (report.name, report.blocks, bool(report)) == ("Wrapper", 3, True)
    assert {name: dict(module.__dict__) for name, module in model.named_modules()} == before
    assert supported(tiny_torchvision()).family == "torchvision VisionTransformer"


def test_a_module_that_holds_two_models_is_not_supported():
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


def test_models_that_need_values_are_built(monkeypatch):
    create, devices = timm.create_model, []

    def create_model(name, **options):
        devices.append(torch.empty(0).device.type)
        if devices[-1] == "meta":
            raise NotImplementedError
        return create(name, depth=1, **options)

    monkeypatch.setattr(timm, "create_model", create_model)
    assert supported("vit_tiny_patch16_224").blocks == 1
    assert devices == ["meta", "meta", "cpu"]


def test_models_that_timm_cannot_build_are_reported(monkeypatch):
    def create_model(name, **options):
        raise ImportError("needs a package\nand more")

    monkeypatch.setattr(timm, "create_model", create_model)
    assert supported("resnet18") == Support("resnet18", reason="timm cannot build it: ImportError: needs a package")


def test_names_are_checked_against_those_of_timm():
    check_name("encoder", "resnet18")
    with pytest.raises(MergeMixError, match=r"^encoder: got 'resnet_18', wanted .*such as .*resnet18"):
        check_name("encoder", "resnet_18")
    assert like("xyz@@@@") == ""


@pytest.mark.parametrize(
    ("name", "family"),
    [("vit_smal", "vit_small_"), ("deit_tinny", "deit_tiny_"), ("vit_bas_patch16", "vit_base_patch16_")],
)
def test_the_family_that_is_meant_is_suggested_first(name, family):
    first, *others = like(name).removeprefix(", such as ").split(", ")
    assert first.startswith(family) and len(others) == 2


def test_names_of_the_hugging_face_hub_say_what_to_do():
    for name in ("hf-hub:timm/vit_tiny", "timm/vit_tiny_patch16_224", "local-dir:/models/mine"):
        check_name("model", name)
    wanted = r"written hf-hub:google/vit-base-patch16-224\. A model of transformers is loaded by transformers"
    with pytest.raises(MergeMixError, match=f"^model: got 'google/vit-base-patch16-224', .*{wanted}"):
        supported("google/vit-base-patch16-224")
