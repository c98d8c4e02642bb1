"""The tables say what seeds can show, and what records do show."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from benchmarks import power
from benchmarks.command import main
from benchmarks.power import spread_of
from timm_mergemix import MergeMixError


def record(method: str, seed: int, top1: float, task: str = "digits") -> dict[str, object]:
    trial = {"task": task, "method": method, "seed": seed, "options": [], "test": True}
    return {"trial": trial, "circumstances": "", "epochs": 1, "val": {}, "test": {"top1": top1}}


def test_the_spread_is_pooled() -> None:
    assert spread_of([[0.0, 2.0], [1.0, 1.0, 1.0], [5.0]]) == pytest.approx(math.sqrt(2 / 3))
    with pytest.raises(MergeMixError, match="records: got one seed"):
        spread_of([[1.0]])


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
