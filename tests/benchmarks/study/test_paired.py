"""Intervals are Student's, of differences that are paired."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.study.paired import detectable, differences, half_width, with_interval
from timm_mergemix import MergeMixError


def record(method: str, seed: int, top1: float, task: str = "digits") -> dict[str, object]:
    trial = {"task": task, "method": method, "seed": seed, "options": [], "test": True}
    return {"trial": trial, "circumstances": "", "epochs": 1, "val": {}, "test": {"top1": top1}}


def test_intervals_are_students() -> None:
    assert detectable(1.0, 3) == pytest.approx(4.3027 / math.sqrt(3), abs=1e-4)
    assert detectable(2.0, 5) == pytest.approx(2 * 2.7764 / math.sqrt(5), abs=1e-4)
    assert detectable(0.0, 5) == 0


def test_an_interval_that_leaves_out_0_is_found_as_often_as_promised() -> None:
    rng, true = np.random.default_rng(0), detectable(1.0, 8, 0.8)
    samples = true + rng.standard_normal((4000, 8))
    halves = np.array([detectable(float(row.std(ddof=1)), 8) for row in samples[:1500]])
    found = (samples[:1500].mean(axis=1) > halves).mean()
    assert 0.75 < found < 0.85


def test_differences_are_taken_seed_by_seed() -> None:
    own = [record("none", 2, 0.9), record("none", 0, 0.5), record("none", 7, 0.1)]
    reference = [record("timm", 0, 0.4), record("timm", 2, 0.7)]
    assert differences(own, reference, "test") == pytest.approx([10, 20])


def test_what_is_out_of_range_is_refused() -> None:
    for arguments, name in (((-1.0, 3), "deviation"), ((1.0, 1), "seeds"), ((1.0, 3, 2.0), "power")):
        with pytest.raises(MergeMixError, match=f"^{name}: "):
            detectable(*arguments)


def test_a_mean_is_shown_with_its_interval() -> None:
    assert with_interval([0.0, 1.0, 2.0]) == ("+1.0", "-1.5 to +3.5")
    assert with_interval([-0.5]) == ("-0.5", "")
    assert with_interval([0.0, 1.0]) == ("+0.5", "-5.9 to +6.9")
    assert half_width([0.0, 1.0]) == pytest.approx(12.7062 / 2, abs=1e-4) and half_width([0.0]) == 0
