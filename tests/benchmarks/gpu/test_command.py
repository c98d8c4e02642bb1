"""The program runs a tiny setting on the CPU, goes on where it stopped, and says what it needs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks.command import main
from benchmarks.gpu import command

SMOKE = ["--smoke", "--rounds", "1", "--seconds", "0", "--filter", "inference", "--parts", "accuracy", "rows", "--out"]


def test_a_tiny_setting_writes_records_json_and_markdown_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command, [*SMOKE, str(tmp_path)]) == 0
    lines = (tmp_path / "gpu.jsonl").read_bytes()
    records = json.loads((tmp_path / "gpu.json").read_text())["records"]
    assert {record["kind"] for record in records} == {"accuracy", "inference"}
    assert "## Inference in bfloat16" in (tmp_path / "gpu.md").read_text()
    assert "## Largest error" in capsys.readouterr().out

    def again(*_: object) -> None:
        raise AssertionError("what is there was run again")

    monkeypatch.setattr(command, "_run", again)
    assert main(command, [*SMOKE, str(tmp_path)]) == 0
    assert (tmp_path / "gpu.jsonl").read_bytes() == lines


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what is missing where there is no CUDA")
def test_without_a_gpu_it_says_what_it_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command, ["--out", str(tmp_path / "new")]) == 2
    error = capsys.readouterr().err
    assert "needs one NVIDIA GPU" in error and "--smoke" in error
    assert not (tmp_path / "new").exists()
