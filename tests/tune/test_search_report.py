"""A search for r says how it goes on, ends in time, and measures what r costs in accuracy."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

import timm_mergemix as mm
from timm_mergemix.tune import search
from timm_mergemix.tune.search import tune_r

from ..models import images, tiny


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, int]]:
    """The r of each look and its rounds, on a machine on which an r of 6 is 1.6 times as fast."""
    looks = []

    def speedup(model: Any, backbone: Any, r: Any, timed: torch.Tensor, rounds: int) -> float:
        looks.append((r, rounds))
        return 1 + (r[1] if isinstance(r, tuple) else r) / 10

    monkeypatch.setattr(search, "_speedup", speedup)
    return looks


def test_each_look_is_reported(looked_at: list[tuple[Any, int]]) -> None:
    lines: list[str] = []
    tune_r(tiny(), 1.3, report=lines.append)
    assert len(lines) == len(looked_at)
    assert lines[0].startswith("tune_r: r=8: 1.80x the throughput; 0 of 120 s")


def test_by_default_it_is_told_on_standard_error(
    looked_at: list[tuple[Any, int]], capsys: pytest.CaptureFixture[str]
) -> None:
    tune_r(tiny(), 1.3)
    out, err = capsys.readouterr()
    assert out == "" and err.count("tune_r: r=") == len(looked_at)
    tune_r(tiny(), 1.3, report=None)
    assert capsys.readouterr() == ("", "")


def test_the_search_looks_quickly_and_confirms_thoroughly(looked_at: list[tuple[Any, int]]) -> None:
    tune_r(tiny(), 1.3, rounds=9, report=None)
    assert [(r, rounds) for r, rounds in looked_at if rounds == 9] == [(3, 9), (("decreasing", 3), 9)]
    assert {rounds for _, rounds in looked_at} == {3, 9}


def test_when_time_is_over_the_least_r_that_is_known_is_taken(
    looked_at: list[tuple[Any, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(search.time, "monotonic", lambda: float(next(ticks)))
    lines: list[str] = []
    found = tune_r(tiny(), 1.1, seconds=4.0, report=lines.append)
    late = "tune_r: time is over before the search has ended; r=decreasing:8 is the least that was tried"
    assert any(line.startswith(late) for line in lines)
    assert all(each.speedup >= 1.1 for each in found)
    assert len(looked_at) <= 8
    assert found[0].r != 1  # which more time would have found


def test_what_an_r_costs_in_accuracy_is_measured_on_all_images() -> None:
    model, x = tiny(), images(tiny(), 6)
    with torch.inference_mode():
        labels = model(x).argmax(dim=1)
    labels = labels.clone()
    labels[0] = (labels[0] + 1) % 10
    batched = tune_r(model, tokens=6, images=x, labels=labels, batch_size=4, rounds=1, report=None)
    for each in batched:
        assert each.top1_unmerged == pytest.approx(5 / 6)
        with mm.merging(model, each.r), torch.inference_mode():
            wanted = (model(x).argmax(dim=1) == labels).float().mean().item()
        assert each.top1 == pytest.approx(wanted)
    whole = tune_r(model, tokens=6, images=x, rounds=1, report=None)
    assert {each.r: each.similarity for each in whole} == pytest.approx(
        {each.r: each.similarity for each in batched}, rel=1e-4
    )
    assert whole[0].top1 is None


def test_a_model_without_logits_is_named() -> None:
    class Pair(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = tiny()

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, int]:
            return self.model(x), 1

    x = images(tiny(), 2)
    with pytest.raises(mm.MergeMixError, match=r"^logits of the model: got"):
        tune_r(Pair(), tokens=6, images=x, labels=torch.zeros(2).long(), rounds=1, report=None)
