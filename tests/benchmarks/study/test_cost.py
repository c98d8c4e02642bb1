import pytest
import torch

from benchmarks.study import cost
from benchmarks.study.cost import equal_epochs, step_cost
from benchmarks.study.trial import Trial
from timm_mergemix.tune.timing import Ratio, Step

CPU = torch.device("cpu")


def test_the_cost_is_that_of_the_trial_over_the_reference(stripes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interleave(steps: dict[str, Step], *_: object) -> dict[str, list[float]]:
        for step in steps.values():
            step()
        return {"own": [3.0, 3.0], "reference": [2.0, 2.0]}

    monkeypatch.setattr(cost, "interleave", interleave)
    assert step_cost(Trial(stripes, "mergemix"), CPU).value == 1.5


def test_equal_epochs(stripes: str) -> None:
    own, reference = Trial(stripes, "mergemix"), Trial(stripes, "timm")
    assert equal_epochs(own, 100, Ratio(0.8, 0.7, 0.9)) == 125
    assert equal_epochs(own, 100, Ratio(1.6, 1.5, 1.7)) == 62
    assert equal_epochs(own, 1, Ratio(9.0, 8.0, 9.0)) == 1
    assert equal_epochs(reference, 100, Ratio(0.98, 0.9, 1.0)) == 100
