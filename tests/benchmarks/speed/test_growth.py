from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks.speed import growth
from benchmarks.speed.growth import grow
from benchmarks.speed.steps import Setting


def test_points_of_each_size_and_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "SIDES", (32, 64))
    monkeypatch.setattr(growth, "BATCHES", (1, 2, 4))
    points = list(grow("test_vit", 1, torch.device("cpu"), rounds=1, most_tokens=20))
    assert [(p.size, p.tokens, p.batch) for p in points] == [(32, 5, 1), (32, 5, 2), (32, 5, 4), (64, 17, 1)]
    assert all(set(p.seconds) == {"merged", "ideal", "unpatched"} for p in points)
    assert all(seconds > 0 for p in points for seconds in p.seconds.values())
    done = [(p.size, p.batch) for p in points[1:]]
    again = grow("test_vit", 1, torch.device("cpu"), rounds=1, most_tokens=20, done=done)
    assert [(p.size, p.batch) for p in again] == [(32, 1)]


def test_r_grows_with_the_patches(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, object]] = []

    def look(setting: Setting, training: bool) -> dict[str, nn.Module]:
        seen.append((setting.size, setting.r))
        return {}

    monkeypatch.setattr(growth, "SIDES", (112, 224, 448))
    monkeypatch.setattr(growth, "BATCHES", (1,))
    monkeypatch.setattr(growth, "make_models", look)
    monkeypatch.setattr(growth, "interleave", lambda *_, **__: {})
    for r, wanted in ((13, [3, 13, 52]), ("keep:0.5", ["keep:0.5"] * 3)):
        seen.clear()
        list(grow("test_vit", r, torch.device("cpu"), rounds=1, most_tokens=1000))
        assert seen == list(zip((112, 224, 448), wanted, strict=True))
