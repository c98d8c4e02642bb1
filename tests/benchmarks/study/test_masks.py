"""Masks are cropped and flipped with their images, and belong to one batch."""

import pytest
import torch

from benchmarks.study.masks import MaskedBatches
from timm_mergemix import MergeMixError
from timm_mergemix.training.images import ImageSet, MemoryBatches, Statistics

STATISTICS = Statistics((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))


def made(count: int = 12) -> tuple[ImageSet, torch.Tensor]:
    """Images whose first channel is their mask."""
    generator = torch.Generator().manual_seed(0)
    masks = 255 * torch.randint(0, 2, (count, 1, 16, 16), generator=generator, dtype=torch.uint8)
    images = torch.randint(0, 255, (count, 3, 16, 16), generator=generator, dtype=torch.uint8)
    images[:, :1] = masks
    return ImageSet(images, torch.arange(count)), masks


def test_masks_follow_their_images() -> None:
    images, masks = made()
    batches = MaskedBatches(images, masks, 4, STATISTICS, pad=2, flip=True)
    assert len(batches) == 3
    torch.manual_seed(0)
    for shown, _ in batches:
        assert shown.shape == (4, 3, 16, 16)
        torch.testing.assert_close(batches.masks_of(shown), shown[:, 0] * 0.2 + 0.5)


def test_images_are_those_that_batches_without_masks_give() -> None:
    images, masks = made()
    torch.manual_seed(1)
    plain = list(MemoryBatches(images, 4, STATISTICS, train=True, pad=2, flip=True))
    torch.manual_seed(1)
    masked = list(MaskedBatches(images, masks, 4, STATISTICS, pad=2, flip=True))
    for (one, labels), (two, same) in zip(plain, masked, strict=True):
        assert torch.equal(one, two) and torch.equal(labels, same)


def test_masks_of_other_images_are_refused() -> None:
    images, masks = made()
    batches = MaskedBatches(images, masks, 4, STATISTICS)
    with pytest.raises(MergeMixError, match="images: got images without known masks"):
        batches.masks_of(images.images)
    (first, _), (second, _), _ = batches
    for shown in (first, second.clone()):
        with pytest.raises(MergeMixError, match="images: got images without known masks"):
            batches.masks_of(shown)
