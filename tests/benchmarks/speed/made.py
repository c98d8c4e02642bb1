"""Made-up results and points in the form of measured ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.speed.growth import Point
from benchmarks.speed.measure import Result
from benchmarks.speed.measured import points_in, results_in
from benchmarks.speed.mixing import MERGEMIX, TIMM_MIXUP
from benchmarks.speed.preference import SEPARATE, WINNER
from timm_mergemix.tune.timing import Ratio

MACHINE = {"device": "cpu, made up", "threads": 2}
INFERENCE = "inference, deit_tiny_patch16_224, batch 32, r=13, 224 px"
PREFERENCE = "preference step, deit_tiny_patch16_224, batch 16, r=13, 224 px"

RESULTS = [
    Result(INFERENCE, "merged", "ideal", 1.1, Ratio(1.05, 1.0, 1.12), (1.05, 1.0)),
    Result(INFERENCE, "merged", "unpatched", None, Ratio(0.5, 0.45, 0.55), (0.5, 1.0)),
    Result(INFERENCE, "ideal", "unpatched", None, Ratio(0.48, 0.45, 0.55), (0.48, 1.0)),
    Result(INFERENCE, "published", "ideal", None, Ratio(1.1, 1.05, 1.2), (1.1, 1.0)),
    Result("mixing alone, mode elem", MERGEMIX, TIMM_MIXUP, 1.0, Ratio(0.8, 0.75, 0.85), (0.8, 1.0)),
    Result(PREFERENCE, WINNER, MERGEMIX, None, Ratio(1.4, 1.3, 1.5), (1.4, 1.0)),
    Result(PREFERENCE, SEPARATE, MERGEMIX, None, Ratio(1.7, 1.6, 1.8), (1.7, 1.0)),
    Result("memory of a training step", "merged", "unpatched", 0.65, Ratio(0.6, 0.6, 0.6), (6.0, 10.0), "bytes"),
]
POINTS = [
    Point(224, 197, 1, "13", {"merged": 0.09, "ideal": 0.06, "unpatched": 0.12}),
    Point(224, 197, 8, "13", {"merged": 0.06, "ideal": 0.06, "unpatched": 0.1}),
    Point(384, 577, 1, "13", {"merged": 0.2, "ideal": 0.16, "unpatched": 0.4}),
]


def write_record(folder: Path, machine: dict[str, Any] = MACHINE, points: list[Point] = POINTS) -> Path:
    """Writes both files of a folder."""
    for result in RESULTS:
        results_in(folder).add({**result._asdict(), "machine": machine})
    for point in points:
        points_in(folder).add({**point._asdict(), "machine": machine})
    return folder
