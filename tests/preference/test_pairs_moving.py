"""Moving or pinning pairs also moves or pins their mix, each tensor once."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data._utils.pin_memory import pin_memory

from timm_mergemix import MergeMixError, Mixup
from timm_mergemix.mix.batch import MixedBatch
from timm_mergemix.preference.pairs import PairBatch, PreferencePairs

from ..mix.batches import mergemix, noise

IMAGES, LABELS = noise(8, 3, 16, 16), torch.arange(8) % 4
SAMPLES = list(zip(IMAGES, LABELS, strict=True))


def pairs() -> PairBatch:
    return PreferencePairs(mergemix(num_classes=4, mode="elem"))(IMAGES[:3], LABELS[:3])


def tensors(record: PairBatch | MixedBatch) -> list[Tensor]:
    values = [getattr(record, field.name) for field in fields(record)]
    return [value for value in values if isinstance(value, Tensor)] + (
        tensors(record.batch) if isinstance(record, PairBatch) else []
    )


def check_moved(moved: PairBatch, before: PairBatch) -> None:
    assert {tensor.device.type for tensor in tensors(moved)} == {"meta"}
    assert moved.kind == before.kind and moved.batch.kind == before.batch.kind
    assert moved.winner is moved.batch.raw and moved.loser is moved.batch.images  # still shared: one copy of each
    assert {tensor.device.type for tensor in tensors(before)} == {"cpu"}


def test_pairs_move_with_their_mix() -> None:
    made = pairs()
    check_moved(made.to("meta"), made)
    check_moved(made.to(torch.device("meta"), non_blocking=True), made)


def test_each_tensor_moves_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made, seen, move = pairs(), [], Tensor.to
    monkeypatch.setattr(Tensor, "to", lambda tensor, *args, **kw: seen.append(id(tensor)) or move(tensor, *args, **kw))
    made.to("meta")
    assert len(seen) == len(set(seen)) == len({id(tensor) for tensor in tensors(made)})


def test_a_selection_of_pairs_moves() -> None:
    made = pairs().select()
    moved = made.to("meta")
    assert {tensor.device.type for tensor in tensors(moved)} == {"meta"}
    assert len(moved) == len(made) and moved.kind == made.kind


def test_pinning_pairs_pins_all_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(Tensor, "pin_memory", lambda tensor, *_: seen.append(id(tensor)) or tensor.clone())
    made = pairs()
    pinned = pin_memory([made])[0]
    assert isinstance(pinned, PairBatch) and set(seen) == {id(tensor) for tensor in tensors(made)}
    for one, other in zip(tensors(pinned), tensors(made), strict=True):
        assert torch.equal(one, other) and one is not other


@pytest.mark.parametrize(
    ("device", "non_blocking", "named"), [(torch.half, False, "device"), ("meta", 1, "non_blocking")]
)
def test_bad_arguments_are_refused_by_name(device: Any, non_blocking: Any, named: str) -> None:
    with pytest.raises(MergeMixError, match=f"^{named}: got"):
        pairs().to(device, non_blocking)


def test_accelerate_moves_pairs() -> None:
    operations = pytest.importorskip("accelerate.utils.operations")
    made = pairs()
    check_moved(operations.send_to_device([made], torch.device("meta"), non_blocking=True)[0], made)


def test_the_loader_of_accelerate_moves_pairs() -> None:
    data_loader = pytest.importorskip("accelerate.data_loader")
    loader = DataLoader(SAMPLES, 4, num_workers=1, collate_fn=PreferencePairs(Mixup(num_classes=4)).collate)
    prepared = data_loader.prepare_data_loader(
        loader, torch.device("meta"), num_processes=1, process_index=0, put_on_device=True, non_blocking=True
    )
    for made in prepared:
        assert isinstance(made, PairBatch) and {tensor.device.type for tensor in tensors(made)} == {"meta"}
