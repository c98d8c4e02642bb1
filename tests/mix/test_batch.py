"""A MixedBatch is a record of one mix, from which targets and masses follow."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError

import pytest
import torch

from timm_mergemix import MergeMixError, Mixup, functional
from timm_mergemix.mix import batch as module
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


def test_multi_label_targets_mix_rows_of_labels() -> None:
    rows = (noise(5, 7) > 0).long()
    batch = mergemix(num_classes=7, multi_label=True, label_smoothing=0.2).mix(noise(5, 3, 16, 16), rows)
    wanted = functional.mix_targets(rows, batch.index, batch.ratio, 7, 0.2, multi_label=True)
    assert torch.equal(batch.targets, wanted)


def test_a_batch_tells_its_length_and_kinds() -> None:
    batch = mixed()
    assert len(batch) == 5
    assert repr(batch) == (f"MixedBatch(images=(5, 3, 16, 16), 5 mergemix, mean ratio={batch.ratio.mean().item():.3f})")


def test_a_batch_is_a_record_that_can_be_copied() -> None:
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


def test_mass_is_the_ratio_but_for_a_partner_of_the_same_class() -> None:
    batch = mixed(mode="elem")
    same = batch.labels == batch.labels[batch.index]
    assert same.tolist() == [False, False, True, False, False]  # the middle image is its own partner
    assert torch.equal(batch.mass, batch.ratio.where(~same, 1.0))


def test_mass_is_what_the_target_holds_before_smoothing() -> None:
    batch = mixed(mode="elem", label_smoothing=0.0)
    own = batch.targets.gather(1, batch.labels.unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(batch.mass, own)


def test_mass_is_measured_where_the_ratio_is_not() -> None:
    images, labels = noise(6, 3, 16, 16), torch.arange(6)
    gaussian = mergemix(4, 4, "gaussian", num_classes=7, mode="elem", generator=torch.Generator().manual_seed(0))
    batch = gaussian.mix(images, labels)
    area = functional.area_ratio(batch.mask)
    assert not torch.allclose(batch.ratio, area)
    assert torch.equal(batch.mass, area)
    lam = Mixup(0.0, 1.0, num_classes=7, correct_lam=False, mode="elem", generator=torch.Generator().manual_seed(0))
    batch = lam.mix(images, labels)
    assert not torch.allclose(batch.ratio, functional.area_ratio(batch.mask))
    assert torch.equal(batch.mass, functional.area_ratio(batch.mask))


def test_rows_that_were_not_mixed_have_all_of_their_mass() -> None:
    batch = mixed(mode="elem", prob=0.5)
    unmixed = torch.tensor([kind == "none" for kind in batch.kind])
    assert unmixed.any() and not unmixed.all()
    assert (batch.mass[unmixed] == 1).all()


def test_labels_that_are_rows_have_no_mass() -> None:
    batch = mergemix(num_classes=7).mix(noise(5, 3, 16, 16), torch.eye(7)[:5])
    with pytest.raises(MergeMixError, match=r"^labels: got a float32 tensor"):
        _ = batch.mass


def test_a_batch_has_classes_that_exclude_each_other_unless_it_says_so() -> None:
    images = torch.zeros(2, 3, 4, 4)
    ratio, index = torch.ones(2), torch.tensor([1, 0])
    batch = MixedBatch(images, torch.tensor([0, 1]), ratio, index, None, None, images, ("none", "none"), 2, 0.5)
    assert batch.targets.tolist() == [[0.75, 0.25], [0.25, 0.75]] and not batch.multi_label


def test_a_move_waits_unless_it_is_told_not_to(monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    monkeypatch.setattr(module, "moved", lambda batch, device, non_blocking: told.append(non_blocking))
    batch = Mixup(num_classes=3)
    mixed = batch.mix(torch.zeros(2, 3, 4, 4), torch.tensor([0, 1]))
    mixed.to("cpu")
    mixed.to("cpu", non_blocking=True)
    assert told == [False, True]
