from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError

import pytest
import torch

from timm_mergemix import Mixup, functional
from timm_mergemix.mix.batch import MixedBatch

from .batches import mergemix, noise


def mixed(**options: object) -> MixedBatch:
    mixer = mergemix(num_classes=7, generator=torch.Generator().manual_seed(0), **options)
    return mixer.mix(noise(5, 3, 16, 16), torch.tensor([0, 6, 2, 2, 1]))


def test_targets_are_made_when_asked_for() -> None:
    batch = mixed(label_smoothing=0.1, mode="elem")
    assert "targets" not in batch.__dict__
    targets = batch.targets
    assert batch.targets is targets
    assert torch.equal(targets, functional.mix_targets(batch.labels, batch.index, batch.ratio, 7, 0.1))


def test_multi_label_targets() -> None:
    rows = (noise(5, 7) > 0).long()
    batch = mergemix(num_classes=7, multi_label=True, label_smoothing=0.2).mix(noise(5, 3, 16, 16), rows)
    wanted = functional.mix_targets(rows, batch.index, batch.ratio, 7, 0.2, multi_label=True)
    assert torch.equal(batch.targets, wanted)


def test_length_and_repr() -> None:
    batch = mixed()
    assert len(batch) == 5
    assert repr(batch) == (f"MixedBatch(images=(5, 3, 16, 16), 5 mergemix, mean ratio={batch.ratio.mean().item():.3f})")


def test_is_a_record() -> None:
    batch = mixed()
    with pytest.raises(FrozenInstanceError):
        batch.ratio = torch.ones(5)
    for twin in (copy.deepcopy(batch), pickle.loads(pickle.dumps(batch))):
        assert torch.equal(twin.targets, batch.targets)
        assert twin.kind == batch.kind


def test_a_batch_moves_to_another_device() -> None:
    batch = Mixup(0.8, num_classes=4).mix(torch.rand(4, 3, 8, 8), torch.arange(4))
    moved = batch.to("meta")
    assert {moved.images.device.type, moved.ratio.device.type, moved.index.device.type} == {"meta"}
    assert moved.kind == batch.kind and moved.mask is None and moved.smoothing == batch.smoothing
