"""The loss of a training step, plain or mixed, with the preference's terms or without."""

from __future__ import annotations

import pytest
import torch

from timm_mergemix import MergeMixError
from timm_mergemix.preference.config import PreferenceConfig
from timm_mergemix.training.mixers import build_mixer
from timm_mergemix.training.objective import NO_PREFERENCE, build_objective

from ..models import images, tiny

LABELS = torch.tensor([0, 1, 2, 3])


def objective(mixer: str, preference: PreferenceConfig = NO_PREFERENCE):
    model = tiny()
    mix = build_mixer(mixer, model, 10, {})
    return model, build_objective(model, mix, 0.1, preference)


def test_plain_images() -> None:
    model, compute = objective("none")
    terms = compute(images(model, 4), LABELS)
    wanted = torch.nn.functional.cross_entropy(model(images(model, 4)), LABELS, label_smoothing=0.1)
    torch.testing.assert_close(terms, {"loss": wanted})


@pytest.mark.parametrize("name", ["timm", "mergemix", "mixup", "resizemix"])
def test_mixed_images(name: str) -> None:
    model, compute = objective(name)
    terms = compute(images(model, 4), LABELS)
    assert set(terms) == {"loss"} and terms["loss"].requires_grad


def test_a_preference_adds_named_terms() -> None:
    model, compute = objective("mergemix", PreferenceConfig(weight=0.5))
    terms = compute(images(model, 4), LABELS)
    assert set(terms) == {"loss", "soft_target", "preference", "reward_margin", "preference_accuracy"}
    torch.testing.assert_close(terms["loss"], terms["soft_target"] + 0.5 * terms["preference"])


def test_a_batch_without_a_pair_counts_in_no_mean() -> None:
    _, compute = objective("mergemix", PreferenceConfig(weight=0.5))
    compute.args[0].mixer.mixup_enabled = False
    terms = compute(torch.randn(4, 3, 64, 64), torch.tensor([0, 1, 2, 3]))
    assert all(terms[name].isnan() for name in ("preference", "reward_margin", "preference_accuracy"))
    torch.testing.assert_close(terms["loss"], terms["soft_target"])


def test_with_weight_0_there_is_no_preference() -> None:
    losses = []
    for preference in (NO_PREFERENCE, PreferenceConfig(weight=0.0, beta=2.0, variant="hinge")):
        model, compute = objective("mergemix", preference)
        torch.manual_seed(0)
        losses.append(compute(images(model, 4), LABELS))
    assert losses[0].keys() == losses[1].keys() == {"loss"}
    assert torch.equal(losses[0]["loss"], losses[1]["loss"])


@pytest.mark.parametrize("name", ["none", "timm"])
def test_without_a_loser_there_is_no_preference(name: str) -> None:
    objective(name)
    with pytest.raises(MergeMixError, match=r"^weight: got 1.0, wanted 0 where images are not mixed by a mixer of"):
        objective(name, PreferenceConfig(weight=1.0))


def test_the_loss_gets_every_setting_of_the_preference() -> None:
    settings = PreferenceConfig(2.0, 0.5, 0.25, "hinge", "separate", detach_winner=True, detach_loser=True)
    step = objective("mergemix", settings)[1].args[0]
    loss = {name: getattr(step.loss, name) for name in vars(settings) if name != "saliency"}
    assert {**loss, "saliency": step.saliency} == vars(settings)


def test_the_model_that_is_trained_is_the_one_that_was_given() -> None:
    model, compute = objective("mergemix", PreferenceConfig(weight=0.5))
    compute(images(model, 4), LABELS)["loss"].backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
