"""Each corruption changes images as its name says."""

import pytest
import torch

from benchmarks.study.corruptions import CORRUPTIONS, HIDDEN, hide_patches
from timm_mergemix import saliency_map

from ...models import images, tiny


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruptions_change_pixels_and_stay_in_range(name: str) -> None:
    pixels = torch.rand(2, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    worse = CORRUPTIONS[name](pixels)
    assert worse.shape == pixels.shape and worse.min() >= 0 and worse.max() <= 1
    assert (worse - pixels).abs().mean() > 0.01


def test_blur_and_contrast_reduce_the_variance() -> None:
    pixels = torch.rand(2, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    assert CORRUPTIONS["blur"](pixels).std() < 0.5 * pixels.std()
    assert CORRUPTIONS["contrast"](pixels).std() < 0.5 * pixels.std()


@pytest.mark.parametrize("salient", [True, False])
def test_the_right_number_of_patches_is_hidden(salient: bool) -> None:
    model = tiny()
    x = images(model)
    hidden = (hide_patches(model, x, salient) == 0).all(dim=1)[:, ::16, ::16]
    assert (hidden.flatten(1).sum(1) == round(HIDDEN * 16)).all()
    top = saliency_map(model, x).flatten(1).topk(round(HIDDEN * 16)).indices
    found = hidden.flatten(1).gather(1, top)
    assert found.all() if salient else not found.all()
