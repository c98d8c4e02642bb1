"""How images lie in memory changes no pixel of a mix."""

from __future__ import annotations

import pytest
import torch

from timm_mergemix.mix.images import paste_resized

from .batches import noise


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.uint8])
def test_a_box_one_pixel_wide_shows_the_same_of_images_in_channels_last(dtype: torch.dtype) -> None:
    """Torch's antialiased interpolation to a width of one pixel gives other numbers for images in channels_last."""
    own, partner = noise(2, 3, 12, 8, dtype=dtype), noise(2, 3, 12, 8, seed=1, dtype=dtype)
    for box in ([3, 10, 4, 5], [4, 5, 1, 7], [2, 9, 1, 6]):
        boxes = torch.tensor([box] * 2)
        plain = paste_resized(own, partner, boxes)
        last = [images.contiguous(memory_format=torch.channels_last) for images in (own, partner)]
        assert torch.equal(paste_resized(*last, boxes), plain), box
