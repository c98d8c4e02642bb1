"""Loaders of image folders: sizes, seeds, and what is refused."""

from pathlib import Path

import pytest
import torch

from timm_mergemix import MergeMixError
from timm_mergemix.training.folder import FolderSplits, find_folder
from timm_mergemix.training.loaders import folder_loaders
from timm_mergemix.training.model import build_model
from timm_mergemix.training.seeds import seed_all

from .made import write_folder


@pytest.fixture
def splits(tmp_path: Path) -> FolderSplits:
    return find_folder(write_folder(tmp_path, each=15))


def test_batches(splits: FolderSplits) -> None:
    loaders = folder_loaders(splits, build_model("test_vit", 2), img_size=32, batch_size=10)
    images, labels = next(iter(loaders.train))
    assert images.shape == (10, 3, 32, 32) and labels.shape == (10,)
    assert len(loaders.train) == 2  # 24 images, the last four are dropped
    assert sum(len(labels) for _, labels in loaders.val) == 6
    assert len(loaders.mean) == len(loaders.std) == 3 and loaders.size == (32, 32)


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_follow_the_seed(splits: FolderSplits, workers: int) -> None:
    model = build_model("test_vit", 2)
    batches = []
    for epoch in (1, 1, 2):
        loaders = folder_loaders(
            splits, model, img_size=16, batch_size=24, workers=workers, auto_augment="rand-m9-mstd0.5"
        )
        seed_all(0, epoch)
        batches.append(next(iter(loaders.train))[0])
    assert torch.equal(batches[0], batches[1]) and not torch.equal(batches[0], batches[2])


def test_small_sets_and_even_batches(splits: FolderSplits) -> None:
    model = build_model("test_vit", 2)
    assert len(folder_loaders(splits, model, img_size=16, batch_size=500).train) == 1
    odd = FolderSplits(splits.train[:7], splits.val, splits.classes, splits.how)
    loaders = folder_loaders(odd, model, img_size=16, batch_size=500, even=True)
    assert [len(labels) for _, labels in loaders.train] == [6]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"batch_size": 0}, "batch_size: got 0"),
        ({"batch_size": 5, "even": True}, "even number"),
        ({"workers": -1}, "workers: got -1"),
        ({"auto_augment": "no-such-policy"}, "auto_augment: got 'no-such-policy'"),
    ],
)
def test_bad_input(splits: FolderSplits, bad: dict[str, object], message: str) -> None:
    with pytest.raises(MergeMixError, match=message):
        folder_loaders(splits, build_model("test_vit", 2), **{"img_size": 16, "batch_size": 4, **bad})
