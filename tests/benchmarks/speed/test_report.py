"""The report has the goals, the results and the machine."""

from __future__ import annotations

import torch

from benchmarks.speed.measure import Result
from benchmarks.speed.report import HEADER, machine, rows_of
from timm_mergemix.tune.timing import Ratio

RESULTS = [
    Result("inference", "merged", "ideal", 1.1, Ratio(1.05, 1.0, 1.12), (1.05, 1.0)),
    Result("inference", "merged", "unpatched", None, Ratio(0.5, 0.45, 0.55), (0.5, 1.0)),
    Result("memory", "merged", "unpatched", 0.6, Ratio(0.65, 0.65, 0.65), (65.0, 100.0), "bytes"),
]


def test_the_table_has_goals_and_results() -> None:
    assert rows_of(RESULTS) == [
        ["inference: merged / ideal", "1.050", "1.000 to 1.120", "<= 1.1", "yes"],
        ["inference: merged / unpatched", "0.500", "0.450 to 0.550", "", ""],
        ["memory: merged / unpatched", "0.650", "", "<= 0.6", "no"],
    ]
    assert all(len(row) == len(HEADER) for row in rows_of(RESULTS))


def test_the_machine_is_described() -> None:
    facts = machine(torch.device("cpu"))
    assert facts["device"].startswith("cpu, ") and len(facts["device"]) > len("cpu, ")
    assert facts["torch"] == torch.__version__
