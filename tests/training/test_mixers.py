"""Mixers by name: which settings each takes, which values apply, and that the mixer gets them."""

import numpy as np
import pytest
import timm.data
import torch

import timm_mergemix as mm
from timm_mergemix import MergeMixError
from timm_mergemix.mix.config import RECIPES, MixConfig
from timm_mergemix.mixers import registry
from timm_mergemix.saliency.config import SaliencyConfig
from timm_mergemix.training.mixers import build_mixer, describe_mixing, mix_settings, mixer_names
from timm_mergemix.training.model import build_model, small_vit

KINDS = {
    "mergemix": {"mergemix", "mixup"},
    "mixup": {"mixup"},
    "cutmix": {"cutmix"},
    "resizemix": {"resizemix"},
}


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0])


def build(name: str, **given: object):
    return build_mixer(name, small_vit((1, 8, 8), 2, 3, 32, 2), 3, mix_settings(name, given))


@pytest.mark.parametrize("name", [*KINDS, "timm"])
def test_targets_are_soft_and_smoothed(name: str) -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    images, targets = build(name, label_smoothing=0.3, prob=1.0)(*batch())
    assert images.shape == (4, 1, 8, 8) and targets.shape == (4, 3)
    assert torch.allclose(targets.sum(dim=1), torch.ones(4)) and targets.min() >= 0.1 - 1e-6


@pytest.mark.parametrize("name", KINDS)
def test_kinds(name: str) -> None:
    mixer = build(name, prob=1.0)
    torch.manual_seed(0)
    assert {kind for _ in range(20) for kind in mixer.mix(*batch()).kind} == KINDS[name]


def test_mergemix_is_combined_with_mixup_and_cutmix_on_request() -> None:
    assert mix_settings("mixup", {})["cutmix_alpha"] == 0 and mix_settings("cutmix", {})["mixup_alpha"] == 0
    for name, given in (("mixup", {"cutmix_alpha": 1.0}), ("cutmix", {"mixup_alpha": 0.8})):
        mixer = build(name, **given)
        torch.manual_seed(0)
        assert {kind for _ in range(20) for kind in mixer.mix(*batch()).kind} == {"mixup", "cutmix"}


def test_the_mixer_gets_the_settings() -> None:
    only = build("mergemix", mergemix_prob=1.0, prob=0.5, saliency_scale=0.5)
    assert {kind for _ in range(20) for kind in only.mix(*batch()).kind} == {"mergemix", "none"}
    assert only.saliency.config.saliency_scale == 0.5
    own = build("timm", mixup_alpha=0.3, cutmix_alpha=0.4, switch_prob=0.1, prob=0.2)
    assert isinstance(own, timm.data.Mixup)
    assert (own.mixup_alpha, own.cutmix_alpha, own.switch_prob, own.mix_prob) == (0.3, 0.4, 0.1, 0.2)
    assert build("none") is None


def test_a_mixer_takes_what_its_signature_has() -> None:
    everything = {*MixConfig.options(), *SaliencyConfig.options()}
    assert set(mix_settings("mergemix", {})) == everything
    assert set(mix_settings("none", {})) == {"label_smoothing"}
    timms = {"mixup_alpha", "cutmix_alpha", "cutmix_minmax", "prob", "switch_prob", "mode", "correct_lam"}
    assert set(mix_settings("timm", {})) - {"multi_label"} == {*timms, "label_smoothing"}  # which newer ones have
    assert set(mix_settings("cutmix", {})) == {*timms, "label_smoothing", "multi_label"}
    assert set(mix_settings("resizemix", {})) == {"prob", "mode", "label_smoothing", "multi_label"}


@pytest.mark.parametrize(
    ("mixer", "name"), [("resizemix", "mixup_alpha"), ("none", "prob"), ("timm", "layer"), ("mixup", "mergemix_prob")]
)
def test_what_a_mixer_does_not_take_is_refused(mixer: str, name: str) -> None:
    with pytest.raises(MergeMixError, match=f"^{name}: got 1, wanted none, since the mixer is {mixer}, which does"):
        mix_settings(mixer, {name: 1})


@pytest.mark.parametrize("recipe", RECIPES)
def test_given_values_override_the_recipe_and_the_recipe_overrides_the_defaults(recipe: str) -> None:
    settings = mix_settings("mergemix", {"prob": 0.25, "select": "both"}, recipe)
    defaults = {**vars(MixConfig()), **vars(SaliencyConfig())}
    assert settings == {**defaults, **RECIPES[recipe], "prob": 0.25, "select": "both"}
    assert mix_settings("timm", {}, recipe)["prob"] == 1.0  # recipes are MergeMix's


def test_a_registered_mixer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_MIXERS", dict(registry._MIXERS))
    mm.register_mixer("mine")(lambda **options: mm.ResizeMix((0.5, 0.5), **options))
    assert "mine" in mixer_names()
    mixer = build("mine", prob=0.5)
    assert isinstance(mixer, mm.ResizeMix) and mixer.prob == 0.5


@pytest.mark.parametrize(
    ("name", "given", "line"),
    [
        ("none", {}, "off"),
        ("mergemix", {}, "mergemix in 50 % of the batches, 50 % of those by MergeMix and the others by Mixup"),
        (
            "mergemix",
            {"cutmix_alpha": 1.0, "mergemix_prob": 0.25, "mode": "elem"},
            "mergemix in 50 % of the images, 25 % of those by MergeMix and the others by Mixup or CutMix",
        ),
        ("mergemix", {"mergemix_prob": 1.0, "prob": 1.0}, "mergemix in 100 % of the batches"),
        (
            "mergemix",
            {"mergemix_alpha": 0.0},
            "mergemix in 50 % of the batches, 0 % of those by MergeMix and the others by Mixup",
        ),
        ("timm", {"prob": 0.125}, "timm in 12.5 % of the batches"),
    ],
)
def test_a_line_says_how_images_are_mixed(name: str, given: dict[str, object], line: str) -> None:
    assert describe_mixing(name, mix_settings(name, given)) == f"Mixing: {line}."


def test_bad_names_and_models() -> None:
    for use in (lambda name: build_mixer(name, torch.nn.Identity(), 3, {}), lambda name: mix_settings(name, {})):
        with pytest.raises(MergeMixError, match="mixer: got 'mixdown'"):
            use("mixdown")
    with pytest.raises(MergeMixError, match=r"^mixer: mergemix .*Identity is not supported"):
        build_mixer("mergemix", torch.nn.Identity(), 3, {})


def test_a_convnet_is_mixed_by_its_own_feature_map() -> None:
    mix = build_mixer("mergemix", build_model("test_resnet", 3), 3, {"prob": 1.0, "mergemix_prob": 1.0})
    assert mix is not None
    images, targets = mix(torch.rand(4, 3, 64, 64), torch.tensor([0, 1, 2, 0]))
    assert images.shape == (4, 3, 64, 64) and targets.shape == (4, 3)


@pytest.mark.parametrize(
    ("given", "message"),
    [({"mixup_alpha": 0.0, "cutmix_alpha": 0.0}, "got 0 for every way"), ({"prob": -3.0}, "^prob: got -3.0")],
)
def test_timms_own_mixup_is_checked_too(given: dict[str, float], message: str) -> None:
    with pytest.raises(MergeMixError, match=message):
        build("timm", **given)
