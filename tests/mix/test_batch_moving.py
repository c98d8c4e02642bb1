"""Whoever moves batches, loaders and frameworks, moves all of a MixedBatch, and each of its tensors once."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data._utils.pin_memory import pin_memory

from timm_mergemix import MergeMixError, MixedBatch, Mixup

from .batches import mergemix, noise


def with_objects() -> MixedBatch:
    """A batch with masks, boxes and their labels."""
    images = noise(3, 3, 16, 16)
    boxes = [torch.tensor([[1.0, 2.0, 9.0, 12.0]]), torch.zeros(0, 4), torch.tensor([[0.0, 0.0, 16.0, 16.0]] * 2)]
    return Mixup(0.0, 1.0, num_classes=3, mode="elem").mix(
        images,
        torch.arange(3),
        masks=torch.randint(0, 3, (3, 16, 16)),
        boxes=boxes,
        box_labels=[torch.arange(len(each)) for each in boxes],
    )


def with_saliency() -> MixedBatch:
    return mergemix(4, 4, "gaussian", num_classes=3).mix(noise(3, 3, 16, 16), torch.arange(3))


BATCHES = [with_objects, with_saliency]


def tensors(value: Any) -> list[Tensor]:
    """All tensors of a batch, in the order of its fields."""
    if isinstance(value, MixedBatch):
        value = tuple(getattr(value, field.name) for field in fields(value))
    if isinstance(value, tuple):
        return [tensor for part in value for tensor in tensors(part)]
    return [value] if isinstance(value, Tensor) else []


def others(batch: MixedBatch) -> list[Any]:
    """All that is no tensor."""
    values = [getattr(batch, field.name) for field in fields(batch)]
    return [value for value in values if not tensors(value)]


def check_moved(moved: MixedBatch, batch: MixedBatch, device: str = "meta") -> None:
    assert {tensor.device.type for tensor in tensors(moved)} == {device}
    assert [(t.shape, t.dtype) for t in tensors(moved)] == [(t.shape, t.dtype) for t in tensors(batch)]
    assert others(moved) == others(batch)
    assert {tensor.device.type for tensor in tensors(batch)} == {"cpu"}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Each call of a tensor's own `to` and `pin_memory`; pinning is not possible without an accelerator."""
    seen: list[tuple[Any, ...]] = []
    move = Tensor.to

    def to(self: Tensor, *args: Any, **options: Any) -> Tensor:
        seen.append((id(self), *args, options))
        return move(self, *args, **options)

    def pin(self: Tensor, *args: Any) -> Tensor:
        seen.append((id(self), "pin_memory"))
        return self.clone()

    monkeypatch.setattr(Tensor, "to", to)
    monkeypatch.setattr(Tensor, "pin_memory", pin)
    return seen


@pytest.mark.parametrize("make", BATCHES)
@pytest.mark.parametrize("non_blocking", [False, True])
def test_all_tensors_move(make: Any, non_blocking: bool, calls: list[tuple[Any, ...]]) -> None:
    batch = make()
    calls.clear()
    check_moved(batch.to("meta", non_blocking=non_blocking), batch)
    wanted = {id(tensor) for tensor in tensors(batch)}
    assert len(calls) == len(wanted) and {call[0] for call in calls} == wanted
    assert all(call[1:] == (torch.device("meta"), {"non_blocking": non_blocking}) for call in calls)


@pytest.mark.parametrize("make", BATCHES)
def test_a_loader_that_pins_memory_pins_all_tensors(make: Any, calls: list[tuple[Any, ...]]) -> None:
    batch = make()
    calls.clear()
    pinned = pin_memory([batch, {"batch": batch}])[0]
    assert isinstance(pinned, MixedBatch) and others(pinned) == others(batch)
    assert {call[0] for call in calls} == {id(tensor) for tensor in tensors(batch)}
    for one, other in zip(tensors(pinned), tensors(batch), strict=True):
        assert torch.equal(one, other) and one is not other


def test_a_tensor_that_stands_in_two_places_moves_once(calls: list[tuple[Any, ...]]) -> None:
    batch = Mixup(prob=0.0, num_classes=3).mix(noise(3, 3, 16, 16), torch.arange(3))
    assert batch.images is batch.raw
    calls.clear()
    moved = batch.to("meta")
    assert moved.images is moved.raw
    assert len(calls) == len({id(tensor) for tensor in tensors(batch)})


def test_targets_are_those_of_the_device() -> None:
    batch = with_saliency()
    before = batch.targets
    assert batch.to("meta").targets.device.type == "meta"
    assert torch.equal(batch.to("cpu").targets, before) and batch.targets is before


@pytest.mark.parametrize("device", ["meta", torch.device("meta")])
def test_devices_by_name_and_as_such(device: Any) -> None:
    batch = with_objects()
    check_moved(batch.to(device), batch)


@pytest.mark.parametrize("device", [torch.float16, None, True, "nowhere", 1.5, torch.zeros(1)])
def test_what_is_no_device_is_refused(device: Any) -> None:
    with pytest.raises(MergeMixError, match=r"^device: "):
        with_objects().to(device)


def test_a_word_is_not_taken_for_true() -> None:
    with pytest.raises(MergeMixError, match=r"^non_blocking: got 'no', wanted True or False"):
        with_objects().to("meta", non_blocking="no")


@pytest.mark.parametrize("make", BATCHES)
def test_accelerate_moves_it(make: Any) -> None:
    operations = pytest.importorskip("accelerate.utils.operations")
    batch = make()
    for non_blocking in (False, True):
        moved = operations.send_to_device({"a": [batch]}, torch.device("meta"), non_blocking=non_blocking)
        check_moved(moved["a"][0], batch)


def test_it_is_what_lightning_and_accelerate_look_for() -> None:
    """Lightning calls ``to(device)`` of what has it, accelerate ``to(device, non_blocking=...)``."""
    batch = with_objects()
    assert callable(type(batch).to)
    check_moved(batch.to(torch.device("meta")), batch)
    check_moved(batch.to(torch.device("meta"), non_blocking=True), batch)


def collate(samples: list[Any]) -> MixedBatch:
    images, labels = (torch.stack(part) for part in zip(*samples, strict=True))
    return Mixup(num_classes=3).mix(images, labels)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_pinned_batches_of_workers_move_without_blocking() -> None:
    data = TensorDataset(noise(4, 3, 16, 16), torch.arange(4) % 3)
    for batch in DataLoader(data, 2, num_workers=1, collate_fn=collate, pin_memory=True):
        assert all(tensor.is_pinned() for tensor in tensors(batch))
        moved = batch.to("cuda", non_blocking=True)
        torch.cuda.synchronize()
        assert all(torch.equal(a.cpu(), b) for a, b in zip(tensors(moved), tensors(batch), strict=True))
