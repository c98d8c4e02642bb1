"""Curves of accuracy against time are those of the records."""

from __future__ import annotations

import pytest

from benchmarks.study.curves import draw_curves, learning_curve


def record(method: str, seed: int, curve: list[list[float]]) -> dict[str, object]:
    trial = {"task": "digits", "method": method, "seed": seed, "options": [], "test": False}
    return {"trial": trial, "circumstances": "", "epochs": len(curve), "curve": curve, "val": {"top1": 0.5}}


def test_a_stalled_epoch_counts_as_any_other() -> None:
    first = record("none", 0, [[60, 0.1], [60, 0.3], [6000, 0.5], [60, 0.7]])
    second = record("none", 1, [[60, 0.3], [60, 0.5], [60, 0.7], [60, 0.9]])
    minutes, top1 = learning_curve([first, second])
    assert minutes == [1, 2, 3, 4]
    assert top1 == pytest.approx([0.2, 0.3, 0.4, 0.6])  # means of both, and of three epochs


def test_each_method_is_a_line() -> None:
    records = [record(method, 0, [[30, 0.2], [30, 0.4]]) for method in ("none", "timm")]
    old = record("mixup", 0, [])
    del old["curve"]
    figure = draw_curves([*records, old], "val")
    (axis,) = figure.axes
    assert [line.get_label() for line in axis.lines] == ["no mixing, 2 epochs", "Mixup + CutMix, 2 epochs"]
    assert list(axis.lines[0].get_xdata()) == [0.5, 1.0]
    assert list(axis.lines[0].get_ydata()) == pytest.approx([20, 30])
