"""The host waits for nothing in a mix: one copy that runs beside it, made before anything else was launched."""

from __future__ import annotations

import pytest
import torch

from benchmarks.gpu.counting import count
from timm_mergemix import MergeMix, SoftTargetLoss, create_mixer
from timm_mergemix.mix.config import MixConfig

from ..models import tiny

MODEL = tiny().to("meta")
IMAGES = torch.empty(6, 3, 64, 64, device="meta")
LABELS = torch.zeros(6, dtype=torch.int64, device="meta")
MODES = MixConfig.options()["mode"].choices
# The pass is far longer than what may come before the copy: the partners' index.
FEW = 2


def assert_waits_for_nothing(mixer: object, **inputs: torch.Tensor) -> None:
    counts = count(lambda: mixer.mix(IMAGES, LABELS, **inputs))
    assert counts.synchronisations == 0, (counts.waits, counts.copies)
    assert len(counts.copies) == 1
    assert counts.copies[0].kernels <= FEW < counts.launched


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("ratio_mode", MixConfig.options()["ratio_mode"].choices)
@pytest.mark.parametrize("select", MixConfig.options()["select"].choices)
def test_mergemix(mode: str, ratio_mode: str, select: str) -> None:
    mixer = MergeMix(MODEL, 10, mergemix_prob=1.0, mode=mode, ratio_mode=ratio_mode, select=select)
    assert_waits_for_nothing(mixer)
    assert_waits_for_nothing(mixer, saliency=torch.empty(6, 4, 4, device="meta"))


@pytest.mark.parametrize("size", [(64, 64), (63, 65)])
def test_mergemix_of_patches_that_divide_the_image_and_of_others(size: tuple[int, int]) -> None:
    mixer = MergeMix(MODEL, 10, mergemix_prob=1.0)
    counts = count(lambda: mixer(torch.empty(4, 3, *size, device="meta"), LABELS[:4]))
    assert counts.synchronisations == 0 and len(counts.copies) == 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["mixup", "cutmix", "resizemix"])
def test_peers(name: str, mode: str) -> None:
    assert_waits_for_nothing(create_mixer(name, num_classes=10, mode=mode))


@pytest.mark.parametrize("correct_lam", [True, False])
def test_batches_that_are_mixed_in_several_ways(correct_lam: bool) -> None:
    mixer = MergeMix(MODEL, 10, prob=0.8, mode="elem", correct_lam=correct_lam)
    kinds = set()
    for seed in range(6):
        torch.manual_seed(seed)
        counts = count(lambda: kinds.update(mixer.mix(IMAGES, LABELS).kind))
        assert counts.synchronisations == 0 and len(counts.copies) <= 1
    assert kinds == {"mergemix", "mixup", "cutmix", "none"}


def test_masks_of_resized_partners() -> None:
    mixer = create_mixer("resizemix", num_classes=10, mode="elem")
    masks = torch.zeros(6, 64, 64, dtype=torch.int64, device="meta")
    assert_waits_for_nothing(mixer, masks=masks)


@pytest.mark.parametrize("bce", [False, True])
def test_the_loss_of_a_mix(bce: bool) -> None:
    batch = create_mixer("mixup", num_classes=10).mix(IMAGES, LABELS)
    logits = torch.empty(6, 10, device="meta", requires_grad=True)
    for target in (batch, batch.targets, LABELS):
        counts = count(lambda target=target: SoftTargetLoss(bce=bce)(logits, target).backward())
        assert counts.synchronisations == 0 and not counts.copies and counts.launched
