import pytest
import torch
from torch import nn

from timm_mergemix import MergeMixError
from timm_mergemix.training.evaluate import calibration_error, evaluate

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
    result = evaluate(model, batches, CPU, calibration=True)
    assert result.top1 == 0.75 and result.count == 4
    assert result.loss == pytest.approx(nn.functional.cross_entropy(LOGITS, LABELS).item())
    # All predictions are made with nearly full confidence, and three quarters are right.
    assert result.calibration_error == pytest.approx(0.25, abs=1e-3)
    assert model.training and model.seen == (False, False)


def test_calibration_only_on_request() -> None:
    assert evaluate(Fixed(), [(LOGITS, LABELS)], CPU).calibration_error is None
    assert calibration_error(LOGITS[:3], LABELS[:3]) == pytest.approx(0.0, abs=1e-3)


def test_no_images() -> None:
    with pytest.raises(MergeMixError, match="no images"):
        evaluate(Fixed(), [], CPU)
