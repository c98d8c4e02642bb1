"""Growth is measured at the requested sizes, with r in proportion to the tokens."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from benchmarks.speed import growth
from benchmarks.speed.growth import Point, all_places, grow
from benchmarks.speed.steps import Setting

CPU = torch.device("cpu")


def test_places_has_each_size_and_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "SIDES", (32, 64))
    monkeypatch.setattr(growth, "BATCHES", (1, 2, 4))
    assert all_places(most_tokens=20) == [(32, 1), (32, 2), (32, 4), (64, 1)]


def test_points_are_measured_at_the_requested_places() -> None:
    points = list(grow("test_vit", 1, CPU, rounds=1, places=[(32, 1), (64, 1), (32, 4)]))
    assert [(p.size, p.tokens, p.batch, p.r) for p in points] == [(32, 5, 1, "1"), (32, 5, 4, "1"), (64, 17, 1, "1")]
    assert all(set(p.seconds) == {"merged", "ideal", "unpatched"} for p in points)
    assert all(seconds > 0 for p in points for seconds in p.seconds.values())
    assert Point.of(json.loads(json.dumps(points[0]._asdict()))) == points[0]


def test_r_is_in_proportion_to_the_patches(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, object]] = []

    def look(setting: Setting, training: bool) -> dict[str, nn.Module]:
        seen.append((setting.size, setting.r))
        return {}

    monkeypatch.setattr(growth, "make_models", look)
    monkeypatch.setattr(growth, "interleave", lambda *_, **__: {})
    for r, wanted in ((13, [3, 13, 52]), ("keep:0.5", ["keep:0.5"] * 3)):
        seen.clear()
        list(grow("test_vit", r, CPU, rounds=1, places=[(size, 1) for size in (112, 224, 448)]))
        assert seen == list(zip((112, 224, 448), wanted, strict=True))
