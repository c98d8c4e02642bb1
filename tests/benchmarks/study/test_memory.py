"""Tasks that fit into memory are drawn by their seed and hold out the declared numbers of images."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from timm.models import VisionTransformer

from benchmarks.study import memory, tasks
from benchmarks.study.places import HERE, Places
from timm_mergemix.training.sources import Source

from ...training.made import striped
from .made import check

CPU = torch.device("cpu")


def test_digits_are_drawn_by_the_seed() -> None:
    first, again, other = (tasks.find_task("digits").set_up(seed, CPU, HERE) for seed in (0, 0, 1))
    check(first, 28)
    assert torch.equal(first.train.images.images, again.train.images.images)
    assert not torch.equal(first.train.images.images, other.train.images.images)


def test_mnist_is_split_by_position_within_each_class(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shipped:
        @staticmethod
        def mnist_data() -> tuple[np.ndarray, np.ndarray]:
            labels = np.repeat(np.arange(10), 500)
            return np.arange(5000)[:, None].repeat(784, 1) % 256, labels

    monkeypatch.setattr(memory, "need", lambda *_: Shipped)
    source = memory.mnist5k()
    assert len(source.train) == len(source.test) == 2500
    check(tasks.find_task("mnist").set_up(0, CPU, HERE), 28)


def test_fine_tuning_loads_weights_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "vit_tiny_patch16_224"
    weights = timm.create_model(name, num_classes=0).state_dict()
    torch.save(weights, tmp_path / "weights.pth")
    digits = tasks.TASKS["digits"].set_up.source
    tuning = memory.FineTuning(name, 32)
    task = memory.InMemory(digits, (20, 10, 10), 4, tuning.build, tuning.prepare, memory.IMAGENET)
    setup = task(0, CPU, Places(tmp_path / "weights.pth"))
    check(setup, 32)
    assert isinstance(setup.model, VisionTransformer)
    torch.testing.assert_close(setup.model.blocks[3].attn.qkv.weight, weights["blocks.3.attn.qkv.weight"])


def test_robustness_can_be_measured_on_fewer_images() -> None:
    digits = tasks.TASKS["digits"].set_up
    setup = replace(digits, sizes=(20, 10, 30), hard=12)(0, CPU, HERE)
    parts = setup.test.hard, setup.test.all, setup.val.hard, setup.val.all
    hard, test, val_hard, val = (torch.cat([images for images, _ in part]) for part in parts)
    assert torch.equal(hard, test[:12]) and len(test) == 30
    assert torch.equal(val_hard, val) and len(val) == 10


def test_batches_have_several_classes_however_the_source_is_ordered() -> None:
    images = striped(40, 8)
    ordered = images.take(images.labels.argsort())
    source = Source("ordered", "here", images, ordered, ("upper", "lower"), 2, 1, False)
    task = memory.InMemory(lambda: source, (10, 4, 40), 5, memory.small, hard=20)
    held_out = task(0, CPU, HERE).test
    assert {label for _, labels in held_out.hard for label in labels.tolist()} == {0}
    pairs = torch.cat([labels for _, labels in held_out.pairs])
    assert len(pairs) == 20 and 5 < pairs.sum() < 15
