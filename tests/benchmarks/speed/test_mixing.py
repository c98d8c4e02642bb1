"""A step can mix with the attention of another, frozen encoder."""

from __future__ import annotations

import pytest

from benchmarks.speed import mixing
from benchmarks.speed.mixing import Pass, other_encoder_step
from benchmarks.speed.steps import Setting

SMALL = Setting("test_vit", 2, 3, size=64)


def test_a_step_with_another_encoder_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    create = mixing.timm.create_model
    monkeypatch.setattr(mixing.timm, "create_model", lambda name, **options: create("test_vit", **options))
    for step in other_encoder_step(SMALL, Pass(3), None).make().values():
        step()
