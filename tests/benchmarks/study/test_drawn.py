"""Tasks of drawings hold out what they say, by digest, and give masks with their training batches."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from benchmarks.study import tasks
from benchmarks.study.clipart import CutOut, Placement
from benchmarks.study.drawn import FromClipart, split_drawings
from benchmarks.study.memory import IMAGENET
from benchmarks.study.places import Places
from benchmarks.study.run import run_trial
from benchmarks.study.setup import Setup, Task
from benchmarks.study.trial import Trial, circumstances
from timm_mergemix.training.progress import Reporter

from .drawn import write_subjects
from .made import check

CPU = torch.device("cpu")
TASK = FromClipart(56, Placement(0.75), 10, 10, None)
DRAWINGS = [
    CutOut(subject, f"{subject}{number:02}", np.zeros((1, 1, 4), np.uint8))
    for subject, count in (("a", 20), ("b", 40))
    for number in range(count)
]


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    folder = write_subjects(tmp_path_factory.mktemp("drawings"))
    return TASK(0, CPU, Places(data=folder))


def test_the_task_has_its_parts(setup: Setup) -> None:
    check(setup, 56)
    counts = [sum(len(labels) for _, labels in part) for part in (setup.train, setup.val.all, setup.test.all)]
    assert counts == [10, 6, 16]  # of 18 training images one whole batch
    assert set(setup.test.others) == {"ground swapped", "ground textured"}


def test_a_training_batch_has_masks_of_its_objects(setup: Setup) -> None:
    images, labels = next(iter(setup.train))
    assert setup.masks is not None
    masks = setup.masks(images)
    assert masks.shape == (10, 56, 56) and 0.05 < masks.mean() < 0.6
    red, green = (images[:, channel] * IMAGENET.std[channel] + IMAGENET.mean[channel] for channel in (0, 1))
    for row, label in enumerate(labels):
        own, other = (red, green) if label == 0 else (green, red)
        assert (own[row] - other[row])[masks[row] == 1].median() > 0.9


def test_other_grounds_have_the_same_objects(setup: Setup) -> None:
    own, swapped = (
        torch.cat([images for images, _ in part]) for part in (setup.val.all, setup.val.others["ground swapped"])
    )
    labels = [torch.cat([labels for _, labels in part]) for part in (setup.val.all, setup.val.others["ground swapped"])]
    assert torch.equal(*labels) and own.shape == swapped.shape
    assert 0.1 < (own == swapped).all(dim=1).float().mean() < 0.8


def test_test_drawings_are_the_same_for_every_seed() -> None:
    parts = [split_drawings(DRAWINGS, 10, seed) for seed in (0, 1)]
    names = [[{drawing.digest for drawing in part} for part in each] for each in parts]
    assert names[0][2] == names[1][2] and len(names[0][2]) == 8 + 16
    assert names[0][0] != names[1][0]
    for train, val, test in names:
        assert len(train) == 9 + 10 and len(val) == 3 + 14 and not train & val | train & test | val & test


def test_of_each_class_so_many_and_some_are_left_for_validation() -> None:
    train, val, _ = split_drawings(DRAWINGS, 30, 0)
    counts = [[sum(drawing.subject == subject for drawing in part) for subject in "ab"] for part in (train, val)]
    assert counts == [[9, 21], [3, 3]]
    assert [drawing.subject for drawing in train] != sorted(drawing.subject for drawing in train)


@pytest.mark.parametrize("method", ["oracle-seen", "cutmix-seen", "paper"])
def test_methods_that_are_told_the_objects_train_on_it(
    method: str, setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tasks.TASKS, "drawn", Task("drawn", tasks.OVERFITTING, 3, Made(setup), amp=True))
    record = run_trial(Trial("drawn", method, 0, (("epochs", 1),)), tmp_path, CPU, Reporter(quiet=True))
    assert {"top1", "fog", "ground swapped", "ground textured"} <= set(record["val"])


class Made:
    """A task that was set up already."""

    facts: ClassVar[list[int]] = []

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    def __call__(self, *_: object) -> Setup:
        return self.setup


def test_its_facts_decide_what_a_trial_is(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = set()
    for set_up in (
        TASK,
        FromClipart(56, Placement(0.35, True), 10, 10, None),
        FromClipart(56, Placement(), 11, 10, None),
    ):
        monkeypatch.setitem(tasks.TASKS, "drawn", Task("drawn", tasks.OVERFITTING, 3, set_up))
        digests.add(circumstances(Trial("drawn", "none")))
    assert len(digests) == 3
