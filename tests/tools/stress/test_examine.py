"""A family runs in threads and in tasks, with calls whose results are known."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import timm_mergemix as mm
from tools.stress import examine as examining
from tools.stress.calls import BASE_R, Call, Run
from tools.stress.modes import Modes
from tools.tiny import FAMILIES

from .made import giving


def test_a_single_thread_is_right_and_counted() -> None:
    row = examining.examine("vit", threads=1, calls=4)
    assert (row.calls, row.task_calls) == (4 + 1, 1)
    assert (row.alone, row.wrong, row.errors, row.evaluated) == ({}, {}, {}, 0)
    assert row.ratio > 0


def test_the_first_thread_trains_and_the_others_read() -> None:
    family = FAMILIES["vit"]
    model = mm.patch(family.build(), BASE_R).train()
    lists, refused = examining.prepare(family, model, 2, Modes())
    kinds = [{known.call.kind for known in one} for one in lists]
    assert kinds[0] == {"training", "preference"}
    assert "saliency" in kinds[1] and "training" not in kinds[1]
    assert refused == []


def test_refused_calls_are_reported() -> None:
    row = examining.examine("held", threads=2, calls=1)
    assert any(reason.startswith("saliency: ") for reason in row.refused)


def test_a_model_that_is_left_changed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(model: nn.Module) -> Run:
        yield
        model.spoilt = getattr(model, "spoilt", 0) + 1
        return [torch.tensor([model.spoilt])]

    monkeypatch.setattr(examining, "training_calls", lambda *_: [Call("spoiling", spoil)])
    monkeypatch.setattr(examining, "crossed_calls", lambda *_: [giving(1.0)])
    row = examining.examine("vit", threads=1, calls=8)
    assert row.alone == {"spoiling": 1}
    assert row.wrong == {"spoiling": 9}
    assert row.after["spoiling"] >= 1
    assert not row.is_right()
