"""Rows are measured as ratios, and memory as a count."""

from __future__ import annotations

import json

import torch

from benchmarks.speed.measure import Result, measure, measure_memory
from benchmarks.speed.row import Comparison, Row
from benchmarks.speed.steps import Setting
from timm_mergemix.tune.timing import Ratio

CPU = torch.device("cpu")


def busy(n: int) -> object:
    return sum(range(n))


def test_a_row_gives_one_result_per_comparison() -> None:
    steps = {"long": lambda: busy(200_000), "short": lambda: busy(10)}
    row = Row("sums", lambda: steps, (Comparison("long", "short", 2),))
    (result,) = measure(row, 5, CPU, 0.0)
    assert (result.row, result.above, result.below, result.unit) == ("sums", "long", "short", "s")
    assert result.ratio.value > 2
    assert result.reached is False
    assert result.amounts[0] > result.amounts[1]


def test_a_result_knows_whether_its_goal_is_reached() -> None:
    def result(value: float, wanted: float | None) -> Result:
        return Result("row", "a", "b", wanted, Ratio(value, value, value), (value, 1.0))

    assert [result(1.1, 1.1).reached, result(1.101, 1.1).reached, result(9.0, None).reached] == [True, False, None]
    assert result(1.0, 2.0).as_dict()["ratio"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert Result.of(json.loads(json.dumps(result(1.0, 2.0)._asdict()))) == result(1.0, 2.0)


def test_merged_training_needs_less_memory() -> None:
    setting = Setting("test_vit", 2, 3, size=64)
    result = measure_memory("memory", setting, 0.9)
    assert result.unit == "bytes"
    assert 0.3 < result.ratio.value < 1
    assert measure_memory("memory", setting._replace(r=0), None).ratio.value == 1
