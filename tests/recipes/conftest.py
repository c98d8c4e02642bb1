from __future__ import annotations

import pytest

import timm_mergemix as mm


@pytest.fixture(autouse=True)
def every_batch_is_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the recipes half of the batches stay plain; few steps shall show mixes all the same."""
    known = mm.MergeMix.recipe
    mixed = {"prob": 1.0, "cutmix_alpha": 1.0}
    monkeypatch.setattr(mm.MergeMix, "recipe", staticmethod(lambda name: {**known(name), **mixed}))
