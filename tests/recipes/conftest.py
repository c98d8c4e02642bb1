from __future__ import annotations

import pytest

from .page import mix_every_batch


@pytest.fixture(autouse=True)
def every_batch_is_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the recipes half of the batches stay plain; few steps shall show mixes all the same."""
    mix_every_batch(monkeypatch)
