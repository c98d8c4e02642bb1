"""Least squares estimates the gain of each value of an option."""

from typing import Any

import numpy as np
import pytest

from benchmarks.study.effects import option_effects
from benchmarks.study.search import drawn_combinations

CHOICES: dict[str, list[Any]] = {"seed": [0, 1], "lr": [1e-3, 2e-3], "mode": ["batch", "elem"], "r": ["4", None]}
GAINS = {("lr", 2e-3): 0.02, ("mode", "elem"): -0.01, ("r", "4"): 0.0, ("seed", 1): 0.05}


def record(setting: dict[str, Any], noise: float = 0.0) -> dict[str, Any]:
    options = [[name, value] for name, value in setting.items() if name != "seed" and value is not None]
    top1 = 0.7 + noise + sum(GAINS.get((name, value), 0.0) for name, value in setting.items())
    return {"trial": {"seed": setting["seed"], "method": "timm", "options": options}, "val": {"top1": top1}}


def test_gains_are_found_if_all_options_change_at_once() -> None:
    effects = option_effects([record(each) for each in drawn_combinations(CHOICES, 12)], "val", "top1")
    found = {(each.option, each.value): each for each in effects}
    assert found["lr", 2e-3].gain == pytest.approx(0.02) and found["mode", "elem"].gain == pytest.approx(-0.01)
    assert found["seed", 1].gain == pytest.approx(0.05) and found["r", None].gain == pytest.approx(0, abs=1e-9)
    assert found["lr", 2e-3].base == 1e-3 and all(each.error < 1e-6 for each in effects)


def test_methods_are_compared_all_else_equal() -> None:
    lines = [record(each) for each in drawn_combinations(CHOICES, 20)]
    for line in lines[::3]:
        line["trial"]["method"], line["val"]["top1"] = "cutmix", line["val"]["top1"] - 0.03
    (found,) = (each for each in option_effects(lines, "val", "top1") if each.option == "method")
    assert (found.value, found.base) == ("timm", "cutmix") and found.gain == pytest.approx(0.03)


def test_the_error_covers_the_noise() -> None:
    rng, off = np.random.default_rng(0), []
    for _ in range(60):
        lines = [record(each, 0.01 * rng.standard_normal()) for each in drawn_combinations(CHOICES, 16)]
        (lr,) = (each for each in option_effects(lines, "val", "top1") if each.option == "lr")
        off.append((lr.gain - 0.02) / lr.error)
    assert 0.7 < np.std(off) < 1.5 and abs(np.mean(off)) < 0.4


@pytest.mark.parametrize("count", [1, 4])
def test_too_few_trials_give_no_effects(count: int) -> None:
    assert option_effects([record(each) for each in drawn_combinations(CHOICES, count)], "val", "top1") == []


def test_options_that_always_change_together_give_no_effects() -> None:
    lines = [record({"seed": 0, "lr": lr, "mode": mode}) for lr, mode in [(1e-3, "batch"), (2e-3, "elem")] * 4]
    assert option_effects(lines, "val", "top1") == []
