"""Interrupts of one family are counted, and models that stay broken are found."""

from __future__ import annotations

from itertools import count

import pytest
from torch import Tensor, nn

import timm_mergemix as mm
from tools.interrupts import examine as examining
from tools.interrupts.operations import OPERATIONS, Operation


def spoil(model: nn.Module, x: Tensor) -> None:
    """Changes a mode temporarily, but does not restore it after an interrupt."""
    model.eval()
    for _ in range(100):
        pass
    model.train()
    next(model.children()).eval()


def examine(monkeypatch: pytest.MonkeyPatch, *operations: Operation, interrupts: int = 6) -> list[examining.Row]:
    monkeypatch.setattr(examining, "OPERATIONS", operations)
    monkeypatch.setattr(examining.sys, "unraisablehook", None)  # monkeypatch undoes the change
    return examining.examine("vit", interrupts, 2)


def test_an_operation_that_breaks_the_model_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    by_instruction, by_signal = examine(monkeypatch, Operation("spoil", False, spoil, None))
    assert by_instruction.interrupts == 6 and by_instruction.late == 0
    assert by_signal.interrupts + by_signal.late == 2
    assert sum(by_instruction.at_once.values()) == sum(by_instruction.broken.values()) > 0
    assert not by_instruction.is_right()


def test_an_operation_that_changes_nothing_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    [row, _] = examine(monkeypatch, Operation("forward", True, lambda model, x: model(x), 2))
    assert (row.interrupts, row.at_once, row.broken) == (6, {}, {})


def test_settings_that_the_next_patch_replaces_are_not_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def repatch(model: nn.Module, x: Tensor) -> None:
        mm.patch(model, 1)
        model(x)
        mm.patch(model, 2)

    [row, _] = examine(monkeypatch, Operation("repatch", True, repatch, 2), interrupts=8)
    assert row.at_once and not row.broken


def test_an_operation_that_the_model_refuses_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(model: nn.Module, x: Tensor) -> None:
        mm.saliency_map(model, x, layer=99)

    [row, _] = examine(monkeypatch, Operation("refuse", False, refuse, None))
    assert row.refused.startswith("layer: ") and row.interrupts == 0 and row.is_right()


def test_the_moments_are_reproducible(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(examining, "interrupt_at", lambda action, moment: not seen.append(moment))
    numbers = count()
    monkeypatch.setattr(examining, "interrupt_after", lambda action, delay: next(numbers) < 0)
    for _ in range(2):
        examine(monkeypatch, OPERATIONS[0])
    assert seen[:6] == seen[6:] and len(set(seen)) > 3
