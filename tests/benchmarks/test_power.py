"""What seeds can show is Student's interval, of differences that are paired."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks import power
from benchmarks.command import main
from benchmarks.power import detectable, differences, spread_of
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


def test_the_spread_is_pooled() -> None:
    assert spread_of([[0.0, 2.0], [1.0, 1.0, 1.0], [5.0]]) == pytest.approx(math.sqrt(2 / 3))
    with pytest.raises(MergeMixError, match="records: got one seed"):
        spread_of([[1.0]])


def test_what_is_out_of_range_is_refused() -> None:
    for arguments, name in (((-1.0, 3), "deviation"), ((1.0, 1), "seeds"), ((1.0, 3, 2.0), "power")):
        with pytest.raises(MergeMixError, match=f"^{name}: "):
            detectable(*arguments)


def test_the_tables_have_tasks_and_methods(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gains = {"timm": 0.0, "none": 0.01, "mixup": 0.02}
    records = [record(method, seed, 0.5 + seed * gain) for method, gain in gains.items() for seed in range(3)]
    records.append(record("cutmix", 1, 0.6))
    (tmp_path / "trials.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    assert main(power, ["--records", str(tmp_path / "trials.jsonl")]) == 0
    spreads, shown = (part.splitlines()[2:] for part in capsys.readouterr().out.strip().split("\n\n"))
    assert [row.split("|")[1].strip() for row in spreads] == ["digits"]
    assert [row.split("|")[2].strip() for row in shown] == ["no mixing", "Mixup", "CutMix"]
    assert "+1.0" in shown[0] and "-1.5 to +3.5" in shown[0] and "+10.0" in shown[2]


def test_records_without_the_reference_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "trials.jsonl").write_text(json.dumps(record("none", 0, 0.5)) + "\n")
    assert main(power, ["--records", str(tmp_path / "trials.jsonl")]) == 2
    assert "no pair of seeds of Mixup + CutMix and another method" in capsys.readouterr().err
