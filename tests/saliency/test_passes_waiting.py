"""The host waits for nothing in a saliency pass."""

from __future__ import annotations

import pytest
import torch

from benchmarks.gpu.counting import count
from timm_mergemix import saliency_map
from timm_mergemix.saliency.config import SaliencyConfig
from timm_mergemix.saliency.passes import SaliencyPass

from ..models import tiny

MODEL = tiny().to("meta")


@pytest.mark.parametrize("layer", [None, 0, -1])
@pytest.mark.parametrize("r", [None, 4, ("keep", 0.5)])
def test_a_pass_waits_for_nothing(layer: int | None, r: object) -> None:
    counts = count(lambda: saliency_map(MODEL, torch.empty(2, 3, 64, 64, device="meta"), layer, r))
    assert counts.launched and counts.synchronisations == 0 and not counts.copies


@pytest.mark.parametrize("images", [torch.uint8, torch.float32])
def test_statistics_are_sent_to_the_device_once(images: torch.dtype) -> None:
    given = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    config = SaliencyConfig(image_mean=given[0], image_std=given[1], encoder_mean=given[0], encoder_std=given[1])
    run = SaliencyPass(MODEL, config)
    batch = torch.empty(2, 3, 64, 64, dtype=images, device="meta")
    run(batch)
    counts = count(lambda: run(batch))
    assert counts.synchronisations == 0 and not counts.copies


@pytest.mark.parametrize("size", [(64, 64), (60, 70)])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_the_size_of_a_map_is_known_before(size: tuple[int, int], scale: float) -> None:
    run = SaliencyPass(tiny(), SaliencyConfig(saliency_scale=scale))
    assert run(torch.randn(1, 3, *size)).shape[1:] == run.map_size(*size)
