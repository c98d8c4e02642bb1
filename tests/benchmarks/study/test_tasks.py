from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from timm.models import VisionTransformer

from benchmarks.study import large, tasks
from benchmarks.study.large import FromTimm
from benchmarks.study.places import HERE, Places
from benchmarks.study.setup import Setup
from timm_mergemix import MergeMixError

from ...training.made import write_folder

CPU = torch.device("cpu")


def check(setup: Setup, size: int) -> None:
    images, labels = next(iter(setup.train))
    assert images.shape[-2:] == (size, size) and labels.max() < setup.classes
    assert setup.model(images[:2]).shape == (2, setup.classes)
    assert images.mean().abs() < 1.5


def test_digits_are_drawn_by_the_seed() -> None:
    first, again, other = (tasks.find_task("digits").set_up(seed, CPU, HERE) for seed in (0, 0, 1))
    check(first, 28)
    assert torch.equal(first.train.images.images, again.train.images.images)
    assert not torch.equal(first.train.images.images, other.train.images.images)


def test_mnist_is_split_by_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    class Shipped:
        @staticmethod
        def mnist_data() -> tuple[np.ndarray, np.ndarray]:
            labels = np.repeat(np.arange(10), 500)
            return np.arange(5000)[:, None].repeat(784, 1) % 256, labels

    monkeypatch.setattr(tasks, "need", lambda *_: Shipped)
    source = tasks.mnist5k()
    assert len(source.train) == len(source.test) == 2500
    check(tasks.find_task("mnist").set_up(0, CPU, HERE), 28)


def test_fine_tuning_takes_weights_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    name = "vit_tiny_patch16_224"
    weights = timm.create_model(name, num_classes=0).state_dict()
    torch.save(weights, tmp_path / "weights.pth")
    digits = tasks.TASKS["digits"].set_up.source
    tuning = tasks.FineTuning(name, 32)
    task = tasks._InMemory(digits, (20, 10, 10), 4, tuning.build, tuning.prepare, tasks.IMAGENET)
    setup = task(0, CPU, Places(tmp_path / "weights.pth"))
    check(setup, 32)
    assert isinstance(setup.model, VisionTransformer)
    torch.testing.assert_close(setup.model.blocks[3].attn.qkv.weight, weights["blocks.3.attn.qkv.weight"])


@pytest.mark.parametrize("held_out", ["val", "test"])
def test_full_size_from_an_image_folder(tmp_path: Path, held_out: str) -> None:
    for split in ("train", held_out):
        write_folder(tmp_path / split, each=6, size=32)
    weights = timm.create_model("vit_tiny_patch16_224", num_classes=5).state_dict()
    torch.save(weights, tmp_path / "weights.pt")
    places = Places(data=tmp_path, workers=0, weights=tmp_path / "weights.pt")
    setup = FromTimm("", "vit_tiny_patch16_224", 2, 4, pretrained=True)(0, CPU, places)
    assert torch.equal(setup.model.blocks[0].mlp.fc1.weight, weights["blocks.0.mlp.fc1.weight"])
    check(setup, 224)
    assert len(setup.train) * 4 == 8  # eleven less what does not fill a batch, and one for validation
    assert sum(len(labels) for _, labels in setup.val) == 1 and sum(len(labels) for _, labels in setup.test) == 12
    paths = {str(path) for path, _ in setup.train.dataset.dataset.samples}
    assert not paths & {str(path) for path, _ in setup.test.dataset.samples}
    with pytest.raises(MergeMixError, match="has 2 classes, wanted 100"):
        FromTimm("", "test_vit", 100, 4)(0, CPU, Places(data=tmp_path))


def test_full_size_from_a_dataset_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def create(name: str, root: str, split: str, transform: object, **options: object) -> list[tuple[object, int]]:
        asked.append((name, split))
        return [(transform(Image.new("RGB", (40, 40))), label % 2) for label in range(8)]

    monkeypatch.setattr(large, "create_dataset", create)
    check(FromTimm("torch/cifar100", "test_vit", 2, 4)(0, CPU, Places(data=tmp_path, workers=0)), 160)
    assert asked == [("torch/cifar100", split) for split in ("train", "train", "validation")]


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(MergeMixError, match="task: got 'mnist6k'"):
        tasks.find_task("mnist6k")
    with pytest.raises(MergeMixError, match=r"weights: got .*, wanted the path of a file"):
        Places(weights=tmp_path / "none.pth")
    with pytest.raises(MergeMixError, match="data-dir: got None"):
        FromTimm("", "test_vit", 2, 4)(0, CPU, HERE)
    with pytest.raises(MergeMixError, match=r"data: got .*, wanted an existing directory"):
        FromTimm("", "test_vit", 2, 4)(0, CPU, Places(data=tmp_path / "none"))


def test_robustness_may_be_measured_on_fewer_images() -> None:
    digits = tasks.TASKS["digits"].set_up
    setup = tasks.replace(digits, sizes=(20, 10, 30), hard=12)(0, CPU, HERE)
    parts = setup.test_hard, setup.test, setup.val_hard, setup.val
    hard, test, val_hard, val = (torch.cat([images for images, _ in part]) for part in parts)
    assert torch.equal(hard, test[:12]) and len(test) == 30
    assert torch.equal(val_hard, val) and len(val) == 10
