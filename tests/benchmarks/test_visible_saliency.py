"""How much of two images a mix shows depends on the selection of patches."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

from benchmarks import visible_saliency
from benchmarks.command import main
from benchmarks.study.memory import FineTuning
from benchmarks.visible_saliency import measure
from timm_mergemix.training.sources import Source

from ..training.made import striped


def test_the_most_salient_patches_show_more_of_the_original_than_the_least() -> None:
    torch.manual_seed(0)
    maps = torch.rand(50, 4, 4)
    maps /= maps.sum(dim=(1, 2), keepdim=True)
    most, least = (measure(name, maps).mean(dim=0) for name in ("own", "least salient"))
    assert most[0] > 0.55 > 0.45 > least[0]
    both = measure("both", maps).mean(dim=0)
    assert both[0] + both[1] > most[0] + most[1]


def test_the_table_has_one_row_per_selection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(timm.create_model("test_vit").state_dict(), tmp_path / "weights.pth")
    source = Source("made", "here", striped(20), striped(10), ("upper", "lower"), 2, 1, False)
    monkeypatch.setattr(visible_saliency, "fashion_mnist", lambda: source)
    monkeypatch.setattr(visible_saliency, "DINOV2", FineTuning("test_vit", 64))
    monkeypatch.setattr(visible_saliency, "IMAGES", 8)
    assert main(visible_saliency, ["--weights", str(tmp_path / "weights.pth")]) == 0
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split("|")[1].strip() for row in rows] == ["own", "both", "random", "least salient"]
    assert all(0 <= float(cell) <= 1 for row in rows for cell in row.split("|")[2:-1])
