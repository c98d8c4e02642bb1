"""The number of classes is that of the classifier, whoever made the model and whatever stands around it."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn
from torchvision.models import VisionTransformer

import timm_mergemix as mm
from timm_mergemix.mixers.classes import count_classes

from ..models import tiny

TORCHVISION = {"image_size": 32, "patch_size": 16, "num_layers": 1, "num_heads": 1, "hidden_dim": 8, "mlp_dim": 8}


def replaced(model: nn.Module, name: str) -> nn.Module:
    """A model whose classifier somebody replaced by hand, as tutorials do."""
    owner, _, last = name.rpartition(".")
    setattr(model.get_submodule(owner), last, nn.Linear(8, 5))
    return model


def small(name: str = "vit_tiny_patch16_224", **options: object) -> nn.Module:
    settings = {"img_size": 32, "depth": 2, "embed_dim": 8, "num_heads": 1, "num_classes": 7}
    return timm.create_model(name, **settings | options)


@pytest.mark.parametrize(
    ("build", "classes"),
    [
        (small, 7),
        (lambda: small("deit_tiny_distilled_patch16_224"), 7),
        (lambda: small(num_classes=0), None),
        (lambda: replaced(small(), "head"), 5),
        (lambda: VisionTransformer(**TORCHVISION, num_classes=3), 3),
        (lambda: replaced(VisionTransformer(**TORCHVISION), "heads.head"), 5),
        (lambda: nn.DataParallel(small()), 7),
        (lambda: torch.compile(small()), 7),
        (lambda: nn.Sequential(nn.Linear(2, 3)), None),
    ],
)
def test_classes_of_a_model(build: object, classes: int | None) -> None:
    assert count_classes(build()) == classes


def test_classes_of_models_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    settings = {"image_size": 32, "patch_size": 16, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = transformers.ViTConfig(**settings, intermediate_size=8, num_labels=4)
    assert count_classes(transformers.ViTForImageClassification(config)) == 4
    assert count_classes(transformers.ViTModel(config)) is None


def test_targets_of_mergemix_have_the_classes_of_the_model_in_training() -> None:
    model, images, labels = tiny(), torch.rand(4, 3, 64, 64), torch.arange(4)
    mix = mm.MergeMix(model)
    mixed, targets = mix(images, labels)
    assert mix.num_classes == 10 and targets.shape == (4, 10)
    assert mm.SoftTargetLoss()(model(mixed), targets).isfinite()
    rows = torch.eye(6)[:4]
    assert mix.mix(images, rows).targets.shape == (4, 6)  # rows say their number of classes themselves


def test_an_encoder_with_another_head_needs_the_number() -> None:
    images, labels = torch.rand(4, 3, 64, 64), torch.arange(4)
    for classes in (0, 10):
        encoder = tiny(num_classes=classes)
        assert mm.MergeMix(encoder, 5)(images, labels)[1].shape == (4, 5)
    with pytest.raises(mm.MergeMixError, match=r"^num_classes: got None, wanted the number of classes"):
        mm.MergeMix(tiny(num_classes=0))(images, labels)


@pytest.mark.parametrize("named", [True, False])
def test_a_loss_of_targets_of_another_number_of_classes_says_what_to_do(named: bool) -> None:
    model, images, labels = tiny(), torch.rand(4, 3, 64, 64), torch.arange(4)
    batch = mm.MergeMix(model, num_classes=1000).mix(images, labels)
    hint = "the targets have 1000 classes and the model has 10: give the mixer num_classes=10, or make a model of 1000"
    with pytest.raises(mm.MergeMixError, match=rf"^(logits|target): .*; {hint} classes$"):
        mm.SoftTargetLoss()(model(images), batch if named else batch.targets)
    with pytest.raises(mm.MergeMixError, match=rf"^loser_logits: .*; {hint} classes$"):
        mm.PreferenceLoss()(model(images), model(images), batch)
