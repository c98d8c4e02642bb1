"""The cost of a step is measured once per setting and determines the number of epochs of equal time."""

import shutil
from pathlib import Path

import pytest
import torch

from benchmarks.study import cost
from benchmarks.study.cost import equal_epochs, recorded_cost, step_cost
from benchmarks.study.trial import Trial
from timm_mergemix.tune.timing import Ratio, Step

CPU = torch.device("cpu")
COMMITTED = Path(__file__).parents[3] / "benchmarks" / "results" / "costs.jsonl"


def test_the_cost_is_that_of_the_trial_over_the_reference(stripes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interleave(steps: dict[str, Step], *_: object) -> dict[str, list[float]]:
        for step in steps.values():
            step()
        return {"own": [3.0, 3.0], "reference": [2.0, 2.0]}

    monkeypatch.setattr(cost, "interleave", interleave)
    assert step_cost(Trial(stripes, "mergemix"), CPU).value == 1.5


def test_the_number_of_epochs_of_equal_time_follows_from_the_cost(stripes: str) -> None:
    own, reference = Trial(stripes, "mergemix"), Trial(stripes, "timm")
    assert equal_epochs(own, 100, Ratio(0.8, 0.7, 0.9)) == 125
    assert equal_epochs(own, 100, Ratio(1.6, 1.5, 1.7)) == 62
    assert equal_epochs(own, 1, Ratio(9.0, 8.0, 9.0)) == 1
    assert equal_epochs(reference, 100, Ratio(0.98, 0.9, 1.0)) == 100


def test_the_cost_is_measured_once_per_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = iter([Ratio(0.5, 0.4, 0.6), Ratio(2.0, 1.9, 2.1)])
    monkeypatch.setattr(cost, "step_cost", lambda *_, **__: next(measured))
    for options in ((("epochs", 3), ("prob", 0.5)), (("prob", 0.5),)):
        found = recorded_cost(Trial("digits", "mergemix", 0, options), CPU, tmp_path / "costs.jsonl", 1)
        assert found == Ratio(0.5, 0.4, 0.6)
    assert recorded_cost(Trial("digits", "mergemix"), CPU, tmp_path / "costs.jsonl", 1).value == 2.0
    shutil.copy(COMMITTED, tmp_path / "costs.jsonl")
    trial = Trial("fashion", "preference", 0, (("prob", 0.5),))
    assert round(recorded_cost(trial, CPU, tmp_path / "costs.jsonl", 1).value, 2) == 1.49
