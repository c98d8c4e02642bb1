"""Mixing in the worker processes of a loader: each worker and epoch draws its own numbers, all from torch's seed."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset, default_collate, get_worker_info

from timm_mergemix import MergeMix, MergeMixError, MixedBatch, Mixup, ResizeMix, transforms
from timm_mergemix.preference.pairs import PreferencePairs

from ..models import tiny
from .batches import noise

BATCH, BATCHES, WORKERS, EPOCHS = 4, 4, 2, 2
IMAGES, LABELS = noise(BATCH * BATCHES, 3, 32, 32), torch.arange(BATCH).repeat(BATCHES)

Faces = dict[str, Any]


def faces(**options: Any) -> Faces:
    """Every kind of mixer and transform that can mix in a worker."""
    shared = {"num_classes": BATCH, "mode": "elem"} | options
    encoder = tiny(img_size=32, depth=1)
    return {
        "Mixup": Mixup(0.8, 0.0, **shared),
        "CutMix": Mixup(0.0, 1.0, **shared),
        "ResizeMix": ResizeMix(**shared),
        "MergeMix": MergeMix(encoder, mergemix_prob=1.0, mergemix_alpha=1.0, **shared),
        "transforms.Mixup": transforms.Mixup(**shared),
        "transforms.CutMix": transforms.CutMix(**shared),
        "transforms.ResizeMix": transforms.ResizeMix(**shared),
        "transforms.MergeMix": transforms.MergeMix(encoder, **shared),
    }


def mixed(face: Any, images: Tensor, labels: Tensor) -> Tensor:
    return face(images, labels)[0]


class Collate:
    """Mixes the same images by every face, and says in which process."""

    def __init__(self, made: Faces) -> None:
        self.faces = made

    def __call__(self, samples: list[Any]) -> tuple[int, dict[str, Tensor]]:
        images, labels = default_collate(samples)
        worker = get_worker_info()
        number = -1 if worker is None else worker.id
        return number, {name: mixed(face, images, labels) for name, face in self.faces.items()}


class PairCollate:
    """As `Collate`, by PreferencePairs."""

    def __init__(self) -> None:
        self.pairs = PreferencePairs(Mixup(num_classes=BATCH, mode="elem"))

    def __call__(self, samples: list[Any]) -> tuple[int, dict[str, Tensor]]:
        worker = get_worker_info()
        return -1 if worker is None else worker.id, {"pairs": self.pairs.collate(samples).loser}


class SameImages(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """All batches are equal, so that mixes differ by chance alone."""

    def __len__(self) -> int:
        return BATCH * BATCHES

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return IMAGES[index % BATCH], LABELS[index % BATCH]


def load(collate: Any, seed: int, *, context: str = "fork", persistent: bool = False) -> list[tuple[int, Any]]:
    """What the workers make in all epochs."""
    loader = DataLoader(
        SameImages(),
        BATCH,
        num_workers=WORKERS,
        collate_fn=collate,
        multiprocessing_context=context,
        persistent_workers=persistent,
    )
    torch.manual_seed(seed)
    return [batch for _ in range(EPOCHS) for batch in loader]


def check_all_differ(loaded: list[tuple[int, Any]]) -> None:
    assert [worker for worker, _ in loaded] == [0, 1, 0, 1] * EPOCHS
    for name in loaded[0][1]:
        mixes = torch.stack([batch[name] for _, batch in loaded]).flatten(1)
        assert len(mixes.unique(dim=0)) == BATCHES * EPOCHS, name


def same(one: list[tuple[int, Any]], other: list[tuple[int, Any]]) -> list[bool]:
    return [torch.equal(a[name], b[name]) for (_, a), (_, b) in zip(one, other, strict=True) for name in a]


def test_every_worker_and_epoch_draws_numbers_of_its_own_and_torchs_seed_governs_them() -> None:
    collate = Collate(faces())
    loaded = load(collate, 0)
    check_all_differ(loaded)
    assert all(same(loaded, load(collate, 0)))
    assert not any(same(loaded, load(collate, 1)))


def test_workers_that_are_spawned_draw_what_forked_ones_do() -> None:
    collate = Collate(faces())
    spawned, forked = (load(collate, 3, context=context, persistent=True) for context in ("spawn", "fork"))
    check_all_differ(spawned)
    assert all(same(spawned, forked))


def test_pairs_differ_from_worker_to_worker_and_epoch_to_epoch() -> None:
    loaded = load(PairCollate(), 0)
    check_all_differ(loaded)
    assert all(same(loaded, load(PairCollate(), 0))) and not any(same(loaded, load(PairCollate(), 1)))


def test_the_generator_of_the_loader_governs_its_workers() -> None:
    def first(seed: int) -> Tensor:
        order = torch.Generator().manual_seed(seed)
        collate = Collate({"Mixup": Mixup(num_classes=BATCH, mode="elem")})
        loader = DataLoader(SameImages(), BATCH, num_workers=1, collate_fn=collate, generator=order)
        return next(iter(loader))[1]["Mixup"]

    assert torch.equal(first(0), first(0)) and not torch.equal(first(0), first(1))


class Refusals(Collate):
    """What each face says instead of mixing."""

    def __call__(self, samples: list[Any]) -> tuple[int, dict[str, Any]]:
        said = {}
        for name, face in self.faces.items():
            with pytest.raises(MergeMixError) as raised:
                mixed(face, *default_collate(samples))
            said[name] = str(raised.value)
        return 0, said


def test_a_generator_of_its_own_is_refused_in_a_worker_and_used_elsewhere() -> None:
    seeded = faces(generator=torch.Generator().manual_seed(0))
    for _, said in load(Refusals(seeded), 0):
        assert set(said) == set(seeded)
        for message in said.values():
            assert message.startswith("generator: got a generator in a worker process, wanted None")
    Collate(seeded)([(IMAGES[0], LABELS[0]), (IMAGES[1], LABELS[1])])


def test_a_worker_hands_its_error_on() -> None:
    collate = Collate({"Mixup": Mixup(num_classes=BATCH, generator=torch.Generator())})
    loader = DataLoader(SameImages(), BATCH, num_workers=1, collate_fn=collate)
    with pytest.raises(MergeMixError, match=r"generator: got a generator in a worker process"):
        next(iter(loader))


@pytest.mark.parametrize("name", faces())
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda face: pickle.loads(pickle.dumps(face))])
def test_copies_mix_alike_and_have_generators_of_their_own(name: str, copied: Any) -> None:
    images, labels = IMAGES[:BATCH], LABELS[:BATCH]
    face = faces()[name]
    torch.manual_seed(5)
    wanted = mixed(face, images, labels)
    torch.manual_seed(5)
    assert torch.equal(mixed(copied(face), images, labels), wanted)
    seeded = faces(generator=torch.Generator().manual_seed(1))[name]
    twin = copied(seeded)
    first, second = mixed(seeded, images, labels), mixed(seeded, images, labels)
    assert torch.equal(mixed(twin, images, labels), first) and not torch.equal(first, second)


def mix_all(samples: list[Any]) -> MixedBatch:
    images, labels = default_collate(samples)
    boxes = [torch.tensor([[2.0, 4.0, 30.0, 28.0]])] * len(images)
    return Mixup(0.0, 1.0, num_classes=BATCH, mode="elem").mix(
        images, labels, masks=(images[:, 0] > 0).long(), boxes=boxes, box_labels=[label.view(1) for label in labels]
    )


def test_a_batch_comes_whole_out_of_a_worker() -> None:
    (batch,) = DataLoader(TensorDataset(IMAGES[:BATCH], LABELS[:BATCH]), BATCH, num_workers=1, collate_fn=mix_all)
    assert isinstance(batch, MixedBatch) and torch.equal(batch.raw, IMAGES[:BATCH])
    masks = (batch.raw[:, 0] > 0).long()
    assert torch.equal(batch.images, torch.where(batch.mask, batch.raw, batch.raw[batch.index]))
    assert torch.equal(batch.masks, torch.where(batch.mask[:, 0], masks, masks[batch.index]))
    assert len(batch.boxes) == len(batch.box_labels) == BATCH
    assert all(len(boxes) == len(labels) for boxes, labels in zip(batch.boxes, batch.box_labels, strict=True))
    assert batch.targets.shape == (BATCH, BATCH) and batch.kind == ("cutmix",) * BATCH
