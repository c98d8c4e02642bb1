"""ResizeMix pastes the whole partner, resized within its limits, and weighs both images by their pixels."""

from __future__ import annotations

import pytest
import torch

from timm_mergemix import MergeMixError, ResizeMix
from timm_mergemix.testing import check_mixer


@pytest.mark.parametrize("mode", ["batch", "pair", "elem"])
def test_the_target_is_the_share_of_pixels_and_the_side_is_within_the_limits(mode: str) -> None:
    labels = torch.arange(8) % 2
    images = (labels == 0).float().view(-1, 1, 1, 1).expand(-1, 3, 40, 40).contiguous()  # 1 of class 0, 0 of class 1
    mixer = ResizeMix((0.25, 0.5), 2, mode=mode, label_smoothing=0.0, generator=torch.Generator().manual_seed(0))
    mixed, targets = mixer(images, labels)
    torch.testing.assert_close(mixed.mean((1, 2, 3)), targets[:, 0])
    pasted = (mixed[:, 0] != images[:, 0]).flatten(1).sum(1)
    assert all(count**0.5 in range(10, 21) for count in pasted.tolist())
    assert (len(pasted.unique()) == 1) is (mode == "batch")


@pytest.mark.parametrize("mode", ["batch", "pair", "elem"])
def test_the_invariants_of_mixing_hold(mode: str) -> None:
    check_mixer(ResizeMix(num_classes=5, mode=mode), examples=12)


def test_the_scale_is_checked_and_passed_on() -> None:
    assert [blend.scale for blend, _ in ResizeMix((0.2, 0.4)).blends] == [(0.2, 0.4)]
    with pytest.raises(MergeMixError, match=r"^scale\[1\]: got"):
        ResizeMix((0.4, 0.2))
