import pytest
import torch
from torch import nn

from timm_mergemix.study.measures import measure_plain, measure_robustness
from timm_mergemix.study.places import HERE

from .made import set_up

CPU = torch.device("cpu")


class Knows(nn.Module):
    """Right about stripes, with a certainty of its own."""

    def __init__(self, certainty: float) -> None:
        super().__init__()
        self.certainty = certainty

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        upper = (x[:, :, :8].mean(dim=(1, 2, 3)) > x[:, :, 8:].mean(dim=(1, 2, 3))).float()
        return self.certainty * torch.stack([upper, 1 - upper], dim=1)


def test_a_timid_model_is_right_and_badly_calibrated_until_it_is_scaled() -> None:
    setup = set_up(0, CPU, HERE)
    found = measure_plain(Knows(0.1), setup.test, setup.val, CPU)
    assert found["top1"] == 1
    assert found["ece"] == pytest.approx(1 - torch.tensor([0.1, 0.0]).softmax(0)[0].item(), abs=1e-5)
    assert found["temperature"] < 0.1 and found["ece_scaled"] < 0.01


def test_robustness_is_measured_alike_each_time_and_leaves_the_model() -> None:
    setup = set_up(0, CPU, HERE)
    state = torch.get_rng_state()
    first = measure_robustness(setup.model, setup.test, setup.statistics, CPU)
    again = measure_robustness(setup.model, setup.test, setup.statistics, CPU)
    assert first == again and torch.equal(state, torch.get_rng_state())
    assert set(first) == {
        "noise",
        "blur",
        "contrast",
        "random patches hidden",
        "salient patches hidden",
        "merged to half",
    }
    assert all(0 <= value <= 1 for value in first.values())
