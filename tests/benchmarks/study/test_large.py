"""Full-size tasks are made from image folders and from timm's datasets."""

from pathlib import Path

import pytest
import timm
import torch
from PIL import Image

from benchmarks.study import large
from benchmarks.study.large import FromTimm
from benchmarks.study.places import Places
from timm_mergemix import MergeMixError

from ...training.made import write_folder
from .made import check

CPU = torch.device("cpu")


@pytest.mark.parametrize("held_out", ["val", "test"])
def test_a_full_size_task_from_an_image_folder(tmp_path: Path, held_out: str) -> None:
    for split in ("train", held_out):
        write_folder(tmp_path / split, each=6, size=32)
    weights = timm.create_model("vit_tiny_patch16_224", num_classes=5).state_dict()
    torch.save(weights, tmp_path / "weights.pt")
    places = Places(data=tmp_path, workers=0, weights=tmp_path / "weights.pt")
    setup = FromTimm("", "vit_tiny_patch16_224", 2, 4, pretrained=True)(0, CPU, places)
    assert torch.equal(setup.model.blocks[0].mlp.fc1.weight, weights["blocks.0.mlp.fc1.weight"])
    check(setup, 224)
    assert len(setup.train) * 4 == 8  # eleven, minus an incomplete batch and one image for validation
    assert sum(len(labels) for _, labels in setup.val.all) == 1
    assert sum(len(labels) for _, labels in setup.test.all) == 12
    paths = {str(path) for path, _ in setup.train.dataset.dataset.samples}
    assert not paths & {str(path) for path, _ in setup.test.all.dataset.samples}
    in_order, mixed = (
        [label for _, labels in batches for label in labels.tolist()] for batches in (setup.test.all, setup.test.pairs)
    )
    assert in_order == sorted(mixed) != mixed
    with pytest.raises(MergeMixError, match="has 2 classes, wanted 100"):
        FromTimm("", "test_vit", 100, 4)(0, CPU, Places(data=tmp_path))


def test_a_full_size_task_from_a_dataset_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def create(name: str, root: str, split: str, transform: object, **options: object) -> list[tuple[object, int]]:
        asked.append((name, split))
        return [(transform(Image.new("RGB", (40, 40))), label % 2) for label in range(8)]

    monkeypatch.setattr(large, "create_dataset", create)
    check(FromTimm("torch/cifar100", "test_vit", 2, 4)(0, CPU, Places(data=tmp_path, workers=0)), 160)
    assert asked == [("torch/cifar100", split) for split in ("train", "train", "validation")]
