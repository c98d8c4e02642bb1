"""Models are timed for each r once, and what is there is not run again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import choosing_r
from benchmarks.choosing_r import Case
from benchmarks.command import main


def test_each_r_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing_r, "CASES", (Case("test_vit", 64, 2, (1, 2)),))
    argv = ["--out", str(tmp_path), "--rounds", "2"]
    assert main(choosing_r, argv) == 0
    path = tmp_path / "choosing_r.jsonl"
    text = path.read_text()
    first, second = map(json.loads, text.splitlines())
    assert (first["model"], first["size"], first["batch"], first["r"]) == ("test_vit", 64, 2, 1)
    assert first["tokens"][0] == second["tokens"][0] > first["tokens"][1] > second["tokens"][1]
    value, low, high = first["speedup"]
    assert 0 < low <= value <= high
    assert main(choosing_r, argv) == 0 and path.read_text() == text


def test_rounds_must_be_a_number_of_rounds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(choosing_r, ["--out", str(tmp_path), "--rounds", "0"]) == 2
    assert "rounds: got 0" in capsys.readouterr().err
