import time

import pytest
import torch

from timm_mergemix.bench.timing import Ratio
from timm_mergemix.study import cost
from timm_mergemix.study.cost import equal_epochs, step_cost
from timm_mergemix.study.trial import Trial

CPU = torch.device("cpu")


def test_a_slower_step_costs_more(stripes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = cost._step

    def slowed(trial: Trial, *rest: object) -> object:
        step = real(trial, *rest)
        return step if trial.method == "timm" else lambda: (step(), time.sleep(0.3))

    monkeypatch.setattr(cost, "_step", slowed)
    assert step_cost(Trial(stripes, "mergemix"), CPU, rounds=1, seconds=0).value > 1


def test_equal_epochs(stripes: str) -> None:
    own, reference = Trial(stripes, "mergemix"), Trial(stripes, "timm")
    assert equal_epochs(own, 100, Ratio(0.8, 0.7, 0.9)) == 125
    assert equal_epochs(own, 100, Ratio(1.6, 1.5, 1.7)) == 62
    assert equal_epochs(own, 1, Ratio(9.0, 8.0, 9.0)) == 1
    assert equal_epochs(reference, 100, Ratio(0.98, 0.9, 1.0)) == 100
