import numpy as np
import pytest
import timm.data
import torch

import timm_mergemix as mm
from timm_mergemix import MergeMixError
from timm_mergemix.mixers import registry
from timm_mergemix.training.mixers import MixOptions, build_mixer, mixer_names
from timm_mergemix.training.model import build_model, small_vit

KINDS = {
    "mergemix": {"mergemix", "mixup", "cutmix"},
    "mixup": {"mixup"},
    "cutmix": {"cutmix"},
    "resizemix": {"resizemix"},
}


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0])


@pytest.mark.parametrize("name", [*KINDS, "timm"])
def test_targets_are_soft_and_smoothed(name: str) -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    mixer = build_mixer(name, small_vit((1, 8, 8), 2, 3, 32, 2), 3, MixOptions(smoothing=0.3))
    images, targets = mixer(*batch())
    assert images.shape == (4, 1, 8, 8) and targets.shape == (4, 3)
    assert torch.allclose(targets.sum(dim=1), torch.ones(4)) and targets.min() >= 0.1 - 1e-6


@pytest.mark.parametrize("name", KINDS)
def test_kinds(name: str) -> None:
    mixer = build_mixer(name, small_vit((1, 8, 8), 2, 3, 32, 2), 3, MixOptions())
    torch.manual_seed(0)
    assert {kind for _ in range(20) for kind in mixer.mix(*batch()).kind} == KINDS[name]


def test_options_reach_the_mixers() -> None:
    model = small_vit((1, 8, 8), 2, 3, 32, 2)
    only = build_mixer("mergemix", model, 3, MixOptions(mergemix_prob=1.0, prob=0.5))
    assert {kind for _ in range(20) for kind in only.mix(*batch()).kind} == {"mergemix", "none"}
    own = build_mixer("timm", model, 3, MixOptions(mixup_alpha=0.3, cutmix_alpha=0.4, switch_prob=0.1, prob=0.2))
    assert isinstance(own, timm.data.Mixup)
    assert (own.mixup_alpha, own.cutmix_alpha, own.switch_prob, own.mix_prob) == (0.3, 0.4, 0.1, 0.2)
    assert build_mixer("none", model, 3, MixOptions()) is None


def test_a_registered_mixer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_MIXERS", dict(registry._MIXERS))
    mm.register_mixer("mine")(lambda **options: mm.ResizeMix((0.5, 0.5), **options))
    assert "mine" in mixer_names()
    assert isinstance(build_mixer("mine", torch.nn.Identity(), 3, MixOptions()), mm.ResizeMix)


def test_bad_names_and_models() -> None:
    with pytest.raises(mm.MergeMixError, match="mixer: got 'mixdown'"):
        build_mixer("mixdown", torch.nn.Identity(), 3, MixOptions())
    with pytest.raises(
        mm.MergeMixError, match=r"^mixer: mergemix reads the model's attention, .*; model: ResNet is not"
    ):
        build_mixer("mergemix", build_model("test_resnet", 3), 3, MixOptions())


@pytest.mark.parametrize(
    ("options", "message"),
    [({"mixup_alpha": 0.0, "cutmix_alpha": 0.0}, "got 0 for every way"), ({"prob": -3.0}, "^prob: got -3.0")],
)
def test_timms_own_mixup_is_checked_too(options: dict[str, float], message: str) -> None:
    with pytest.raises(MergeMixError, match=message):
        build_mixer("timm", torch.nn.Identity(), 4, MixOptions(**options))
