"""Accuracy and calibration are those of the model as it is, and its modes are restored."""

import math

import pytest
import torch
from torch import nn
from torchmetrics.classification import MulticlassCalibrationError

from timm_mergemix import MergeMixError
from timm_mergemix.training.evaluate import evaluate

CPU = torch.device("cpu")
LOGITS = torch.tensor([[9.0, 0.0], [9.0, 0.0], [0.0, 9.0], [9.0, 0.0]])
LABELS = torch.tensor([0, 0, 1, 1])


class Fixed(nn.Module):
    """Returns its input; notes the mode."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen = self.training, torch.is_grad_enabled()
        return x


def test_evaluate() -> None:
    model = Fixed().train()
    batches = [(LOGITS[:3], LABELS[:3]), (LOGITS[3:], LABELS[3:])]
    result = evaluate(model, batches, CPU)
    assert result.top1 == 0.75 and result.count == 4
    assert result.loss == pytest.approx(nn.functional.cross_entropy(LOGITS, LABELS).item())
    # All predictions are made with nearly full confidence, and three quarters are right.
    assert result.calibration_error == pytest.approx(0.25, abs=1e-3)
    assert model.training and model.seen == (False, False)


def test_a_part_that_was_frozen_in_eval_mode_stays_so() -> None:
    model = nn.Sequential(Fixed(), Fixed()).train()
    model[1].eval()
    evaluate(model, [(LOGITS, LABELS)], CPU)
    assert [part.training for part in model.modules()] == [True, True, False]


def test_calibration_error_is_that_of_torchmetrics() -> None:
    logits = torch.randn(300, 10, generator=torch.Generator().manual_seed(0)).mul(3)
    labels = torch.randint(10, (300,), generator=torch.Generator().manual_seed(1))
    wanted = MulticlassCalibrationError(num_classes=10, n_bins=15)(logits.softmax(dim=1), labels).item()
    assert wanted > 0.1
    assert evaluate(Fixed(), [(logits, labels)], CPU).calibration_error == pytest.approx(wanted, abs=1e-6)


def test_infinite_outputs_give_nan_and_no_error() -> None:
    result = evaluate(Fixed(), [(LOGITS.clone().fill_diagonal_(float("inf")), LABELS)], CPU)
    assert math.isnan(result.calibration_error) and result.count == 4


def test_no_images() -> None:
    with pytest.raises(MergeMixError, match="no images"):
        evaluate(Fixed(), [], CPU)
