from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest
import torch

from timm_mergemix import Mixup
from timm_mergemix.launch.criterion import pack
from timm_mergemix.launch.loader import MixingLoader


class Batches:
    """A loader of three batches."""

    sampler = "a sampler"

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        generator = torch.Generator().manual_seed(0)
        for _ in range(3):
            yield torch.rand(4, 3, 8, 8, generator=generator), torch.arange(4)


def make_mixer() -> Mixup:
    return Mixup(num_classes=4, generator=torch.Generator().manual_seed(1))


def make_loader(pairs: bool = False, dtype: torch.dtype | None = None) -> MixingLoader:
    return MixingLoader(Batches(), make_mixer(), torch.device("cpu"), dtype, nullcontext, pairs)


def test_it_is_the_loader_but_for_its_batches() -> None:
    loader = make_loader()
    assert len(loader) == 3
    assert loader.sampler == "a sampler"
    with pytest.raises(AttributeError):
        _ = loader.no_such_thing


def test_batches_are_mixed() -> None:
    mixer = make_mixer()
    for (images, targets), (raw, labels) in zip(make_loader(), Batches(), strict=True):
        wanted = mixer.mix(raw, labels)
        assert torch.equal(images, wanted.images)
        assert torch.equal(targets, wanted.targets)


def test_clean_images_follow_their_mixes() -> None:
    mixer = make_mixer()
    for (images, target), (raw, labels) in zip(make_loader(pairs=True), Batches(), strict=True):
        wanted = mixer.mix(raw, labels)
        assert torch.equal(images, torch.cat([wanted.images, raw]))
        assert torch.equal(target, pack(wanted))


def test_the_scripts_dtype() -> None:
    assert next(iter(make_loader(dtype=torch.bfloat16)))[0].dtype == torch.bfloat16


def test_mixing_runs_inside_the_scripts_autocast_and_the_step_does_not() -> None:
    inside = []

    @contextmanager
    def autocast() -> Iterator[None]:
        inside.append(True)
        yield
        inside.pop()

    loader = MixingLoader(Batches(), make_mixer(), torch.device("cpu"), None, autocast, False)
    loader.mixer.mix = lambda images, labels: (inside == [True] and make_mixer().mix(images, labels)) or pytest.fail()
    for _ in loader:
        assert inside == []
