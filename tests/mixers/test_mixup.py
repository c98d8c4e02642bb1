"""Mixup against timm.data.Mixup as a whole; blend by blend it is compared in test_blends."""

from __future__ import annotations

import numpy as np
import pytest
import timm.data
import torch
from scipy import stats

from timm_mergemix import MergeMixError, Mixup
from timm_mergemix.testing import check_mixer

from ..mix.batches import newer_timm, noise

COUNT = 800
SETTINGS = {
    "mixup": {"mixup_alpha": 0.8},
    "cutmix": {"mixup_alpha": 0.0, "cutmix_alpha": 0.7},
    "minmax": {"mixup_alpha": 0.0, "cutmix_minmax": (0.2, 0.8)},
    "both": {"mixup_alpha": 0.8, "cutmix_alpha": 1.0, "switch_prob": 0.3, "prob": 0.7},
    "uncorrected": {"mixup_alpha": 0.0, "cutmix_alpha": 1.0, "correct_lam": False, "prob": 0.6},
}


def weights(mixed: torch.Tensor, targets: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """lambda of each row's target, and how much of its pixels are its own image's."""
    return targets[:, 0].numpy(), mixed.mean((1, 2, 3)).numpy()


def batch(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The first half of the images is 1 of class 0, their partners are 0 of class 1."""
    labels = (torch.arange(count) >= count // 2).long()
    return (1.0 - labels).view(-1, 1, 1, 1).expand(-1, 1, 20, 28).contiguous(), labels


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("mode", ["batch", "elem"])
def test_distributions_are_as_timms(name: str, mode: str) -> None:
    options = SETTINGS[name] | {"mode": mode, "num_classes": 2, "label_smoothing": 0.0}
    ours = Mixup(**options, generator=torch.Generator().manual_seed(0))
    theirs = timm.data.Mixup(**options)
    np.random.seed(0)
    rows, times = (2, COUNT) if mode == "batch" else (2 * COUNT, 1)
    images, labels = batch(rows)
    kept = rows // 2
    samples = []
    for mixer in (ours, theirs):
        results = [weights(*mixer(images.clone(), labels)) for _ in range(times)]
        samples.append([np.concatenate([result[i][:kept] for result in results]) for i in range(2)])
    for own, timms in zip(*samples, strict=True):
        assert len(own) == len(timms) == COUNT
        assert stats.ks_2samp(own, timms).pvalue > 1e-4
        assert abs((own == 1).mean() - (timms == 1).mean()) < 0.08  # standard deviation 0.022


def test_switch_prob_is_the_share_of_cutmix() -> None:
    mixer = Mixup(0.8, 1.0, switch_prob=0.2, mode="elem", generator=torch.Generator().manual_seed(0))
    kinds = mixer.mix(torch.zeros(2000, 1, 2, 2), torch.zeros(2000, dtype=torch.long)).kind
    assert kinds.count("cutmix") / 2000 == pytest.approx(0.2, abs=0.04)


@pytest.mark.parametrize(
    ("options", "shares"),
    [
        ({}, {"mixup": 1.0}),
        ({"cutmix_alpha": 1.0}, {"cutmix": 0.5, "mixup": 0.5}),
        ({"mixup_alpha": 0.0, "cutmix_alpha": 1.0}, {"cutmix": 1.0}),
        ({"mixup_alpha": 0.0, "cutmix_minmax": (0.2, 0.3)}, {"cutmix": 1.0}),
        ({"cutmix_minmax": (0.2, 0.3), "switch_prob": 1.0}, {"cutmix": 1.0}),
        ({"cutmix_alpha": 1.0, "switch_prob": 0.0}, {"mixup": 1.0}),
    ],
)
def test_alphas_and_switch_prob_give_each_blend_its_share(options: dict[str, object], shares: dict[str, float]) -> None:
    assert {blend.name: share for blend, share in Mixup(**options).blends} == shares


@newer_timm
@pytest.mark.parametrize("labels", [torch.tensor([0, 3, 2, 3]), (noise(4, 5) > 0).long()])
def test_smoothed_targets_are_as_timms(labels: torch.Tensor) -> None:
    options = {"num_classes": 5, "label_smoothing": 0.1, "multi_label": labels.ndim == 2}
    images = noise(4, 3, 8, 8)
    ours, theirs = Mixup(**options), timm.data.Mixup(**options)
    for mixer in (ours, theirs):
        mixer.mixup_enabled = False
    torch.testing.assert_close(ours(images, labels)[1], theirs(images.clone(), labels)[1])


@pytest.mark.parametrize("mode", ["batch", "pair", "elem"])
@pytest.mark.parametrize("alphas", [(1.0, 0.0), (0.0, 1.0), (0.8, 1.0)])
def test_the_invariants_of_mixing_hold(alphas: tuple[float, float], mode: str) -> None:
    check_mixer(Mixup(*alphas, mode=mode, prob=0.9, num_classes=5), examples=10, labels=("integers", "rows"))


def test_without_correct_lam_targets_do_not_say_what_is_shown() -> None:
    with pytest.raises(AssertionError, match=r"^targets say what is shown: "):
        check_mixer(Mixup(0.0, 1.0, correct_lam=False, num_classes=5), examples=20, dtypes=(torch.float32,))


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("mixup_alpha", {"mixup_alpha": -1}),
        ("mixup_alpha", {"mixup_alpha": float("nan")}),
        ("cutmix_alpha", {"cutmix_alpha": -1}),
        ("cutmix_minmax", {"cutmix_minmax": 0.5}),
        ("switch_prob", {"cutmix_alpha": 1.0, "switch_prob": 2}),
        ("mixup_alpha, cutmix_alpha, ...", {"mixup_alpha": 0.0}),
        ("prob", {"prob": 2}),
        ("mode", {"mode": "row"}),
    ],
)
def test_bad_settings_are_named(argument: str, options: dict[str, object]) -> None:
    with pytest.raises(MergeMixError, match=rf"^{argument}: got"):
        Mixup(**options)
