"""Merging without fine-tuning is measured with one record per setting and shown in a table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import timm
import torch

from benchmarks import off_the_shelf
from benchmarks.command import main
from timm_mergemix.training.sources import Source

from ..training.made import striped


@pytest.fixture
def argv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Arguments for a small model on few images."""
    torch.manual_seed(0)
    torch.save(timm.create_model("test_vit").state_dict(), tmp_path / "weights.pth")
    source = Source("made", "here", striped(60), striped(30, seed=1), ("upper", "lower"), 2, 1, False)
    monkeypatch.setattr(off_the_shelf, "fashion_mnist", lambda: source)
    monkeypatch.setattr(off_the_shelf, "MATCHINGS", ("bipartite", "random"))
    for name, value in {"MODEL": "test_vit", "SIZE": 64, "IMAGES": 20, "NEIGHBOURS": 3, "RS": (1, 2)}.items():
        monkeypatch.setattr(off_the_shelf, name, value)
    return ["--out", str(tmp_path / "out"), "--weights", str(tmp_path / "weights.pth")]


def test_settings_are_measured_only_once(argv: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(off_the_shelf, argv) == 0
    path = tmp_path / "out" / "results.jsonl"
    lines = path.read_text().splitlines()
    unmerged, *merged = map(json.loads, lines)
    assert unmerged["knn"] == unmerged["knn_of_unmerged"] > 0.5 and unmerged["similarity"] == pytest.approx(1)
    assert len(merged) == 8 and all(record["similarity"] < 1 for record in merged)
    table = capsys.readouterr().out
    assert "| matching | prop_attn | r=0 | r=1 | r=2 |" in table and "| random | off |" in table
    path.write_text("\n".join(lines[:4]) + "\n" + lines[4][:10])  # killed during the fifth setting
    assert main(off_the_shelf, argv) == 0
    assert path.read_text().splitlines() == lines and capsys.readouterr().out == table


def test_a_missing_file_of_weights_is_refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(off_the_shelf, [*argv[:2], "--weights", "none.pth"]) == 2
    assert "weights: got none.pth, wanted the path of a file" in capsys.readouterr().err
