"""Mixes on CUDA: the host waits for nothing, and a seed gives the mix that it gives on the CPU."""

from __future__ import annotations

import pytest
import torch

from timm_mergemix import MergeMix, create_mixer

from ..models import tiny

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
IMAGES = torch.randn(6, 3, 64, 64, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(6)


def mixers(device: str) -> dict[str, object]:
    ours = {mode: MergeMix(tiny().to(device), 10, mode=mode) for mode in ("batch", "elem")}
    return ours | {name: create_mixer(name, num_classes=10, mode="elem") for name in ("cutmix", "resizemix")}


@pytest.mark.parametrize("name", ["batch", "elem", "cutmix", "resizemix"])
def test_a_mix_waits_for_nothing(name: str) -> None:
    mixer, images, labels = mixers("cuda")[name], IMAGES.cuda(), LABELS.cuda()
    for seed in range(4):  # libraries that are loaded now may wait
        torch.manual_seed(seed)
        mixer(images, labels)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for seed in range(4):
            torch.manual_seed(seed)
            mixer(images, labels)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("name", ["cutmix", "resizemix"])
def test_a_seed_gives_the_mix_of_the_cpu(name: str) -> None:
    found = []
    for device in ("cpu", "cuda"):
        torch.manual_seed(3)
        mixed = mixers(device)[name].mix(IMAGES.to(device), LABELS.to(device))
        found.append((mixed.images.cpu(), mixed.ratio.cpu()))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-4)
