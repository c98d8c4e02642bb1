"""Mixers are made by their names, those of the user and of installed packages too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from timm_mergemix import (
    Blend,
    Draw,
    MergeMix,
    MergeMixError,
    Mixer,
    Mixup,
    Pairs,
    ResizeMix,
    create_mixer,
    list_mixers,
    register_mixer,
)
from timm_mergemix.mixers import registry
from timm_mergemix.mixers.registry import takes_encoder
from timm_mergemix.testing import check_mixer

from ..mix.batches import noise
from ..models import tiny

NAMES = ["cutmix", "mergemix", "mixup", "resizemix"]


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "_MIXERS", dict(registry._MIXERS))
    yield


def test_the_names_are_sorted() -> None:
    assert list_mixers() == NAMES


@pytest.mark.parametrize(
    ("name", "cls", "kind"),
    [
        ("mergemix", MergeMix, "mergemix"),
        ("mixup", Mixup, "mixup"),
        ("cutmix", Mixup, "cutmix"),
        ("resizemix", ResizeMix, "resizemix"),
    ],
)
def test_each_name_mixes_its_way(name: str, cls: type, kind: str) -> None:
    own = {"encoder": tiny(), "mergemix_prob": 1.0} if name == "mergemix" else {}
    mixer = create_mixer(name, num_classes=10, mode="elem", **own)
    assert type(mixer) is cls
    batch = mixer.mix(noise(4, 3, 64, 64), torch.arange(4))
    assert batch.kind == (kind,) * 4
    assert batch.targets.shape == (4, 10)


def test_settings_are_passed_on() -> None:
    mixer = create_mixer("cutmix", cutmix_alpha=0.3, prob=0.2)
    assert [(blend.name, blend.alpha) for blend, _ in mixer.blends] == [("cutmix", 0.3)]
    assert mixer.prob == 0.2


@pytest.mark.parametrize("name", ["mixmerge", "", None, 3, ["mixup"]])
def test_an_unknown_name_is_refused_with_those_that_are_known(name: object) -> None:
    with pytest.raises(MergeMixError, match=r"^name: got .*'cutmix', 'mergemix', 'mixup', 'resizemix'"):
        create_mixer(name)


def test_unknown_and_missing_arguments_are_named() -> None:
    with pytest.raises(MergeMixError, match=r"^create_mixer\('mixup', ...\): .*'colour'"):
        create_mixer("mixup", colour=1)
    with pytest.raises(MergeMixError, match=r"^create_mixer\('mergemix', ...\): .*'encoder'"):
        create_mixer("mergemix")
    with pytest.raises(MergeMixError, match=r"^mixup_alpha: got"):
        create_mixer("mixup", mixup_alpha=-1)


def test_a_mixer_of_ones_own_takes_ten_lines() -> None:
    class Halves:
        name = "halves"

        def __call__(self, pairs: Pairs, draw: Draw) -> Blend:
            left = torch.arange(pairs.images.shape[-1]) < pairs.images.shape[-1] // 2
            mask = left.expand(len(pairs.own), 1, *pairs.images.shape[2:])
            ratio = mask.float().mean((1, 2, 3))
            return Blend(torch.where(mask, pairs.own, pairs.partner), ratio, mask)

    @register_mixer("halves")
    def halves(**options: object) -> Mixer:
        return Mixer([(Halves(), 1.0)], **options)

    assert "halves" in list_mixers()
    images = noise(4, 3, 8, 8)
    batch = create_mixer("halves", num_classes=4, label_smoothing=0.0, mode="elem", prob=0.5).mix(
        images, torch.arange(4)
    )
    assert set(batch.kind) <= {"halves", "none"}
    batch = create_mixer("halves", num_classes=4, label_smoothing=0.0).mix(images, torch.arange(4))
    assert batch.kind == ("halves",) * 4
    assert torch.equal(batch.images[..., :4], images[..., :4])
    assert torch.equal(batch.images[..., 4:], images.flip(0)[..., 4:])
    assert batch.targets[0].tolist() == [0.5, 0, 0, 0.5]
    check_mixer(create_mixer("halves", num_classes=4), examples=8)


def test_a_class_of_ones_own_can_be_registered() -> None:
    @register_mixer("gentle")
    class Gentle(Mixup):
        pass

    assert type(create_mixer("gentle")) is Gentle
    assert Gentle.__name__ == "Gentle"
    register_mixer("gentle")(Gentle)  # the same thing again is no conflict


def test_a_taken_name_is_refused() -> None:
    with pytest.raises(MergeMixError, match=r"^name: got 'mixup', wanted an unused name"):
        register_mixer("mixup")(ResizeMix)
    assert type(create_mixer("mixup")) is Mixup


@pytest.mark.parametrize("name", ["", None, 3])
def test_what_is_no_name_is_refused(name: object) -> None:
    with pytest.raises(MergeMixError, match=r"^name: got"):
        register_mixer(name)


def test_what_is_no_factory_is_refused() -> None:
    with pytest.raises(MergeMixError, match=r"^factory: got 3"):
        register_mixer("three")(3)
    assert list_mixers() == NAMES


def test_only_mergemix_takes_an_encoder() -> None:
    assert takes_encoder("mergemix") and not takes_encoder("cutmix") and not takes_encoder("resizemix")
    with pytest.raises(MergeMixError, match="name: got 'mixdown'"):
        takes_encoder("mixdown")


class Advertised:
    """An entry point of another package."""

    name, value = "advertised", "package:mixer"

    def __init__(self, factory: object) -> None:
        self.factory = factory

    def load(self) -> object:
        if isinstance(self.factory, Exception):
            raise self.factory
        return self.factory


def test_mixers_of_installed_packages_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = Advertised(lambda num_classes=1000, **options: Mixup(num_classes=num_classes, **options))
    monkeypatch.setattr(registry, "_advertised", lambda: {"advertised": loaded})
    assert "advertised" in list_mixers() and not takes_encoder("advertised")
    assert isinstance(create_mixer("advertised", num_classes=3), Mixup)


def test_a_package_may_register_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    class Registers(Advertised):
        def load(self) -> object:
            register_mixer("advertised")(Mixup)
            return Mixup

    monkeypatch.setattr(registry, "_advertised", lambda: {"advertised": Registers(None)})
    assert isinstance(create_mixer("advertised"), Mixup)


def test_a_broken_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_advertised", lambda: {"advertised": Advertised(ImportError("no such module"))})
    with pytest.raises(MergeMixError, match="package:mixer cannot be imported: no such module"):
        create_mixer("advertised")


def test_entry_points_of_the_group_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    points = {"timm_mergemix.mixers": [Advertised(Mixup)], "another.group": [Advertised(ResizeMix)]}
    monkeypatch.setattr(registry, "entry_points", lambda group: points[group])
    registry._advertised.cache_clear()
    try:
        assert isinstance(create_mixer("advertised"), Mixup)
    finally:
        registry._advertised.cache_clear()
