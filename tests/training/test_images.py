"""Images in memory: their statistics, random crops and flips, and batches."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from timm_mergemix.training.images import ImageSet, MemoryBatches, Statistics, crop_and_flip

from .made import striped


def test_statistics_normalise() -> None:
    images = striped(50, channels=3).images
    normal = Statistics.of(images).normalize(images.float() / 255)
    assert torch.allclose(normal.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(normal.std(dim=(0, 2, 3)), torch.ones(3), atol=1e-3)


def test_constant_images_stay_finite() -> None:
    images = torch.full((4, 1, 2, 2), 7, dtype=torch.uint8)
    assert Statistics.of(images).normalize(images.float() / 255).isfinite().all()


def test_no_padding_and_no_flip_change_nothing() -> None:
    images = striped(4).images
    assert torch.equal(crop_and_flip(images, 0, False), images)


@settings(max_examples=25, deadline=None)
@given(pad=st.integers(0, 3), seed=st.integers(0, 1000), flip=st.booleans())
def test_crops_are_windows_of_the_padded_image(pad: int, seed: int, flip: bool) -> None:
    images = torch.arange(1, 2 * 5 * 6 + 1).view(2, 1, 5, 6)
    torch.manual_seed(seed)
    padded = torch.nn.functional.pad(images, (pad, pad, pad, pad))
    for source, crop in zip(padded, crop_and_flip(images, pad, flip), strict=True):
        # unfold lists all windows; the crop or its mirror image is one of them.
        windows = source[0].unfold(0, 5, 1).unfold(1, 6, 1).reshape(-1, 5, 6)
        candidates = torch.cat([windows, windows.flip(-1)]) if flip else windows
        assert (candidates == crop[0]).flatten(1).all(dim=1).any()


def test_images_of_a_batch_are_cropped_independently() -> None:
    torch.manual_seed(0)
    crops = crop_and_flip(striped(1).images.expand(20, -1, -1, -1), 2, True)
    assert len({crop.numpy().tobytes() for crop in crops}) > 10


def test_training_batches_shuffle_and_drop_the_rest() -> None:
    images = ImageSet(torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1), torch.arange(10))
    batches = MemoryBatches(images, 4, Statistics((0.0,), (1.0,)), train=True)
    torch.manual_seed(0)
    labels = torch.cat([labels for _, labels in batches])
    assert len(batches) == 2 and len(labels) == len(labels.unique()) == 8
    torch.manual_seed(0)
    assert torch.equal(labels, torch.cat([labels for _, labels in batches]))


def test_plain_batches_are_in_order_and_complete() -> None:
    images = ImageSet(torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1), torch.arange(10))
    batches = MemoryBatches(images, 4, Statistics((0.5,), (2.0,)), pad=3, flip=True)
    pixels, labels = zip(*batches, strict=True)
    assert len(batches) == 3 and torch.equal(torch.cat(labels), torch.arange(10))
    assert torch.allclose(torch.cat(pixels).flatten(), (torch.arange(10) / 255 - 0.5) / 2)


def test_shuffled_by_a_seed() -> None:
    images = striped(20, 8)
    first, again, other = (images.shuffled(seed) for seed in (0, 0, 1))
    assert torch.equal(first.images, again.images) and not torch.equal(first.images, other.images)
    assert sorted(first.labels.tolist()) == sorted(images.labels.tolist())
