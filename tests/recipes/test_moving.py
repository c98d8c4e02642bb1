"""Lightning moves batches that workers mixed, whole, and trains on them."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from timm_mergemix import MixedBatch, Mixup, PreferenceLoss, SoftTargetLoss
from timm_mergemix.preference.pairs import PairBatch, PreferencePairs

L = pytest.importorskip("lightning")
from lightning.fabric.utilities.apply_func import move_data_to_device  # noqa: E402 - lightning may be missing

IMAGES, LABELS = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 4
QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


def mix(samples: list[Any]) -> MixedBatch:
    images, labels = (torch.stack(part) for part in zip(*samples, strict=True))
    boxes = [torch.tensor([[1.0, 1.0, 6.0, 7.0]])] * len(images)
    masks = (images[:, 0] > 0).long()
    mixer = Mixup(0.0, 1.0, num_classes=4)
    return mixer.mix(images, labels, masks=masks, boxes=boxes, box_labels=[label.view(1) for label in labels])


def pair(samples: list[Any]) -> PairBatch:
    return PreferencePairs(Mixup(num_classes=4)).collate(samples)


def devices(value: Any) -> set[str]:
    """Of all tensors in a batch."""
    if isinstance(value, (MixedBatch, PairBatch)):
        value = tuple(getattr(value, field.name) for field in fields(value))
    if isinstance(value, tuple):
        return set().union(*map(devices, value))
    return {value.device.type} if isinstance(value, Tensor) else set()


class Module(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 4))
        self.seen: list[type] = []

    def training_step(self, batch: Any, index: int) -> Tensor:
        self.seen.append(type(batch))
        if isinstance(batch, MixedBatch):
            return SoftTargetLoss()(self.model(batch.images), batch)
        return PreferenceLoss()(self.model(batch.winner), self.model(batch.loser), batch.batch).total

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize("collate", [mix, pair])
def test_all_of_a_batch_moves(collate: Any) -> None:
    batch = collate(list(zip(IMAGES, LABELS, strict=True)))
    moved, number = move_data_to_device((batch, 3), torch.device("meta"))
    assert devices(moved) == {"meta"} and devices(batch) == {"cpu"}
    assert type(moved) is type(batch) and moved.kind == batch.kind and number == 3


@pytest.mark.parametrize("collate", [mix, pair])
def test_it_trains_on_what_workers_mixed(collate: Any) -> None:
    module = Module()
    before = [parameter.clone() for parameter in module.parameters()]
    loader = DataLoader(list(zip(IMAGES, LABELS, strict=True)), 4, num_workers=1, collate_fn=collate)
    L.Trainer(max_epochs=1, accelerator="cpu", **QUIET).fit(module, loader)
    assert module.seen == [MixedBatch if collate is mix else PairBatch] * 2
    assert not all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))
