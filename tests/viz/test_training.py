"""Curves and diagrams of a training show the numbers that they were given."""

import numpy as np
import pytest
import torch

import timm_mergemix as mm
from timm_mergemix.metrics import calibration_error
from timm_mergemix.viz import confidence_by_ratio, learning_curves, reliability_diagram

from .made import draw

HISTORY = [{"epoch": epoch, "train_loss": 2 / epoch, "val_top1": 0.1 * epoch} for epoch in (1, 2, 3)]


def test_learning_curves_show_the_history_of_each_run() -> None:
    figure = learning_curves({"MergeMix": HISTORY, "other": HISTORY[:2]})
    loss, top1 = figure.axes
    assert [line.get_label() for line in loss.lines] == ["MergeMix", "other"]
    assert np.allclose(top1.lines[0].get_ydata(), [10, 20, 30])
    assert draw(figure).shape[0] > 300


def test_curves_of_a_run_with_a_preference_do_not_include_it() -> None:
    preferring = [{**record, "train_loss": 9.0, "soft_target": record["train_loss"]} for record in HISTORY]
    loss, top1 = learning_curves({"MergeMix": HISTORY, "preference": preferring}).axes
    assert np.allclose(loss.lines[1].get_ydata(), loss.lines[0].get_ydata())
    assert [line.get_label() for line in loss.lines] == ["MergeMix", "preference (without the preference)"]
    assert [line.get_label() for line in top1.lines] == ["MergeMix", "preference"]


def test_curves_say_if_the_loss_includes_a_preference() -> None:
    total = [{**record, "preference": 0.5} for record in HISTORY]
    loss, _ = learning_curves({"run": total}).axes
    assert [line.get_label() for line in loss.lines] == ["run (preference included)"]
    assert loss.get_title().startswith("training loss") and "soft" not in loss.get_title()


def test_a_reliability_diagram_shows_accuracies_and_the_error() -> None:
    # Three sure predictions of which two are right, one unsure one that is.
    probs = torch.tensor([[0.95, 0.05], [0.95, 0.05], [0.05, 0.95], [0.55, 0.45]])
    labels = torch.tensor([0, 1, 1, 0])
    figure = reliability_diagram({"a": (probs, labels), "b": (probs.flip(1), labels)}, bins=10)
    upper, _, lower, _ = figure.axes
    heights = [bar.get_height() for bar in upper.patches]
    assert heights[9] == pytest.approx(2 / 3) and heights[5] == 1.0 and sum(heights) == pytest.approx(5 / 3)
    assert [bar.get_height() for bar in lower.patches][9] == 0.75
    error = calibration_error(probs, labels, bins=10).item()
    assert f"{100 * error:.1f} %" in upper.get_title()
    assert draw(figure).std() > 20


def test_a_confidence_of_one_has_a_bar() -> None:
    figure = reliability_diagram({"sure": (torch.eye(2), torch.tensor([0, 1]))})
    assert figure.axes[0].patches[-1].get_height() == 1.0


def test_the_confidence_in_both_classes_is_drawn_over_the_ratio() -> None:
    torch.manual_seed(0)
    labels = torch.arange(40) % 4
    batch = mm.create_mixer("cutmix", num_classes=4, mode="elem").mix(torch.rand(40, 3, 8, 8), labels)
    figure = confidence_by_ratio(batch, batch.targets)  # a model that knows the targets
    (axis,) = figure.axes
    _, own, own_mean, partner, _ = axis.lines
    differ = labels != labels[batch.index]
    assert np.allclose(own.get_xdata(), batch.ratio[differ]) and np.allclose(
        partner.get_xdata(), 1 - batch.ratio[differ]
    )
    smooth = 0.1 / 4 + 0.9 * batch.ratio[differ]
    assert np.allclose(own.get_ydata(), smooth, atol=1e-5)
    assert np.allclose(own_mean.get_ydata(), 0.025 + 0.9 * own_mean.get_xdata(), atol=1e-5)
    assert draw(figure).std() > 10


def test_bad_input_is_named() -> None:
    rows = mm.Mixup(num_classes=3, multi_label=True).mix(torch.rand(2, 3, 8, 8), torch.eye(3)[:2])
    batch = mm.Mixup(num_classes=3).mix(torch.rand(2, 3, 8, 8), torch.tensor([0, 1]))
    for call, message in (
        (lambda: learning_curves({}), "histories: got"),
        (lambda: learning_curves({"a": []}), "histories: got"),
        (lambda: reliability_diagram({}), "runs: got"),
        (lambda: reliability_diagram({"a": (torch.eye(2), torch.tensor([0, 1]))}, bins=0), "bins: got 0"),
        (lambda: confidence_by_ratio(rows, torch.eye(3)[:2]), "batch: got"),
        (lambda: confidence_by_ratio(batch, torch.eye(3)), "probs: got"),
    ):
        with pytest.raises(mm.MergeMixError, match=message):
            call()
