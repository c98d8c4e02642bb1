"""Functions do not import torchmetrics, and the classes say how to install it."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from timm_mergemix import metrics

FUNCTIONS = [
    "brier_score",
    "calibration_error",
    "fit_temperature",
    "preference_accuracy",
    "rank_correlation",
    "reward_margin",
]
CLASSES = ["BrierScore", "CalibrationError", "PreferenceAccuracy", "RewardMargin"]


def test_all_names_can_be_imported() -> None:
    assert metrics.__all__ == CLASSES + FUNCTIONS
    for name in metrics.__all__:
        assert inspect.getdoc(getattr(metrics, name)) and name in dir(metrics)
    with pytest.raises(AttributeError, match=r"'timm_mergemix.metrics' has no attribute 'Brier'"):
        _ = metrics.Brier


def test_functions_do_not_import_torchmetrics() -> None:
    code = (
        "import sys, torch, timm_mergemix.metrics as metrics\n"
        "metrics.brier_score(torch.eye(2), torch.arange(2))\n"
        "print('torchmetrics' in sys.modules)\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown == "False\n"


def test_without_torchmetrics_the_classes_say_what_to_install() -> None:
    code = (
        "import sys; sys.modules['torchmetrics'] = None\n"
        "import torch, timm_mergemix as mm\n"
        "from timm_mergemix import metrics\n"
        "import timm_mergemix.training.evaluate\n"
        "print(metrics.preference_accuracy(torch.ones(1), torch.zeros(1)).item())\n"
        f"for name in {CLASSES}:\n"
        "    try:\n"
        "        getattr(metrics, name)()\n"
        "    except mm.MergeMixError as error:\n"
        "        print(error)\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert shown[0] == "1.0" and len(shown) == 1 + len(CLASSES)
    for line in shown[1:]:
        assert "a Metric class needs torchmetrics" in line and 'pip install "timm-mergemix[metrics]"' in line
