"""The published step trains on two mixes of the same images, and adds what it loses on both."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.study.two_batches import FIRST, two_batches
from timm_mergemix import MergeMixError, SoftTargetLoss

from ...models import images, tiny


@pytest.mark.parametrize("first", FIRST)
def test_both_mixes_are_of_the_whole_batch(first: str) -> None:
    model = tiny()
    x, labels = images(model, batch=6), torch.arange(6)
    kept = x.clone()
    torch.manual_seed(0)
    np.random.seed(0)
    mixed, targets = two_batches(model, 10, first, label_smoothing=0.0)(x, labels)
    assert torch.equal(x, kept)
    assert mixed.shape == (12, 3, 64, 64) and targets.shape == (12, 10)
    torch.testing.assert_close(targets.sum(1), torch.ones(12))
    blended = [bool((mixed[row] != x[row % 6]).logical_and(mixed[row] != x[5 - row % 6]).any()) for row in range(12)]
    assert blended == [first == "mixup"] * 6 + [True] * 6
    for row, target in enumerate(targets):
        assert set(target.nonzero()[:, 0].tolist()) <= {row % 6, 5 - row % 6}
    if first == "cutmix":  # targets are those of their own mix
        shown = (mixed[:6] == x).float().mean(dim=(1, 2, 3))
        torch.testing.assert_close(targets[:6].diagonal(), shown, atol=1e-3, rtol=0)


def test_the_loss_is_half_of_the_sum_of_both() -> None:
    model, loss = tiny(), SoftTargetLoss()
    mixed, targets = two_batches(model, 10, "paper")(images(model, batch=6), torch.arange(6))
    logits = model(mixed)
    total = loss(logits[:6], targets[:6]) + loss(logits[6:], targets[6:])
    torch.testing.assert_close(loss(logits, targets), total / 2)


def test_mergemix_is_as_published(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class Watched:
        def __init__(self, encoder: object, num_classes: int, **options: object) -> None:
            made.append(options)

    monkeypatch.setattr("benchmarks.study.two_batches.MergeMix", Watched)
    two_batches(tiny(depth=4), 10, "paper", prob=0.5, label_smoothing=0.0)
    published = {"mergemix_prob": 1.0, "ratio_mode": "gaussian", "divide": False, "layer": 2}
    assert made == [{**published, "prob": 0.5, "label_smoothing": 0.0}]


def test_options_are_for_the_mixes_that_take_them() -> None:
    model = tiny()
    x, labels = images(model, batch=4), torch.arange(4)
    mixed, _ = two_batches(model, 10, "paper", prob=0.0, select="both")(x, labels)
    assert torch.equal(mixed, torch.cat([x, x]))
    with pytest.raises(MergeMixError, match="first: got 'resizemix'"):
        two_batches(model, 10, "resizemix")
