"""Curves of accuracy against time are those of the records."""

from __future__ import annotations

import pytest

from benchmarks.study.curves import draw_curves, learning_curve, minutes_of


def record(method: str, seed: int, curve: list[list[float]]) -> dict[str, object]:
    trial = {"task": "digits", "method": method, "seed": seed, "options": [], "test": False}
    return {"trial": trial, "circumstances": "", "epochs": len(curve), "curve": curve, "val": {"top1": 0.5}}


def test_a_stalled_epoch_counts_as_any_other() -> None:
    first = record("none", 0, [[60, 0.1], [60, 0.3], [6000, 0.5], [60, 0.7]])
    second = record("none", 1, [[60, 0.3], [60, 0.5], [60, 0.7], [60, 0.9]])
    assert minutes_of([first, second]) == 1
    assert learning_curve([first, second]) == pytest.approx([20, 30, 40, 60])  # means of both, and of three epochs


def test_each_method_is_a_line() -> None:
    records = [record(method, 0, [[30, 0.2], [30, 0.4]]) for method in ("none", "timm")]
    old = record("mixup", 0, [])
    del old["curve"]
    figure = draw_curves([*records, old], "val")
    (axis,) = figure.axes
    assert [line.get_label() for line in axis.lines] == ["no mixing, 2 epochs", "Mixup + CutMix, 2 epochs"]
    assert list(axis.lines[0].get_xdata()) == [0.5, 1.0]
    assert list(axis.lines[0].get_ydata()) == pytest.approx([20, 30])


def test_where_the_cost_of_a_step_is_known_time_is_that_of_epochs_of_the_reference() -> None:
    records = [record(method, 0, [[30, 0.2], [30, 0.4]]) for method in ("timm", "mergemix")]
    costs = [{"key": ["digits", "mergemix", [], "cpu", 1], "cost": [0.75, 0.7, 0.8]}]
    (axis,) = draw_curves(records, "val", costs).axes
    assert [list(line.get_xdata()) for line in axis.lines] == [[1.0, 2.0], [0.75, 1.5]]
    assert axis.get_xlabel() == "time of training, in epochs of Mixup + CutMix"
    (axis,) = draw_curves(records, "val").axes
    assert axis.get_xlabel() == "minutes of training"
