"""`install` adds to timm and torchvision what `uninstall` takes away, and nothing happens without it."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest
import timm.data
import torchvision.transforms.v2 as v2

import timm_mergemix as mm
from timm_mergemix import MergeMixError


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    yield
    for module in (timm.data, v2):
        vars(module).pop("MergeMix", None)


def test_uninstall_takes_back_what_install_did() -> None:
    before = dict(vars(timm.data)), dict(vars(v2))
    mm.install()
    mm.install()
    assert timm.data.MergeMix is mm.MergeMix
    assert v2.MergeMix is mm.transforms.MergeMix
    mm.uninstall()
    mm.uninstall()
    assert (dict(vars(timm.data)), dict(vars(v2))) == before


@pytest.mark.parametrize("module", [timm.data, v2])
def test_a_foreign_mergemix_is_refused_before_anything_changes(module: ModuleType) -> None:
    foreign = object()
    module.MergeMix = foreign
    before = dict(vars(timm.data)), dict(vars(v2))
    with pytest.raises(MergeMixError, match=rf"^install: {module.__name__}.MergeMix"):
        mm.install()
    assert (dict(vars(timm.data)), dict(vars(v2))) == before
    mm.uninstall()
    assert module.MergeMix is foreign


def test_import_installs_nothing() -> None:
    assert not hasattr(timm.data, "MergeMix")
    assert not hasattr(v2, "MergeMix")
