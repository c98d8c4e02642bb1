"""Maps of small models are measured against the objects of drawings."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import feature_maps
from benchmarks.command import main
from benchmarks.feature_maps import area_under_curve, maps_of, records_in
from timm_mergemix.merge.find.feature_maps import FeatureMaps
from timm_mergemix.training.optim import Optimisation

from ..models import tiny_convnet, tiny_swin
from .study.drawn import write_subjects


def test_the_area_under_the_curve_of_a_perfect_an_inverted_and_a_constant_map() -> None:
    masks = torch.zeros(1, 8, 8)
    masks[:, :4, :4] = 1
    cells = torch.zeros(1, 4, 4)
    cells[:, :2, :2] = 1
    assert [area_under_curve(maps, masks).item() for maps in (cells, -cells, 0 * cells)] == [1.0, 0.0, 0.5]


@given(st.integers(0, 10_000))
def test_it_is_the_share_of_pairs_of_pixels_in_the_right_order(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randint(0, 4, (1, 3, 3), generator=generator).float()
    masks = torch.randint(0, 2, (1, 6, 6), generator=generator).float()
    masks[0, 0, 0], masks[0, 5, 5] = 1, 0
    values = maps.repeat_interleave(2, 1).repeat_interleave(2, 2)
    inside, outside = values[masks == 1], values[masks == 0]
    above = (inside[:, None] > outside).float() + 0.5 * (inside[:, None] == outside)
    torch.testing.assert_close(area_under_curve(maps, masks)[0], above.mean())


@pytest.mark.parametrize(("model", "side"), [(tiny_convnet(), 64), (tiny_swin(), 32)])
@pytest.mark.parametrize("layer", [-1, -2])
def test_maps_are_on_the_grid_of_the_features(model: torch.nn.Module, side: int, layer: int) -> None:
    x = torch.randn(2, 3, side, side)
    found = dict(maps_of(FeatureMaps(model), x, layer))
    grid = FeatureMaps(model).run(x, layer).shape[2:]
    assert {maps.shape for maps in found.values()} == {(2, *grid)}
    assert (("evidence for the predicted class", False) in found) == (layer == -1)


def test_models_are_trained_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        feature_maps, "MODELS", {"ConvNet": ("test_resnet", {}, 1e-3), "other": ("test_convnext", {}, 1e-3)}
    )
    monkeypatch.setattr(feature_maps, "SIZE", 64)
    monkeypatch.setattr(feature_maps, "BATCH", 4)
    monkeypatch.setattr(feature_maps, "OPTIMISATION", Optimisation(epochs=1, warmup_epochs=0))
    write_subjects(tmp_path / "png")
    argv = ["--out", str(tmp_path / "out"), "--data-dir", str(tmp_path / "png")]
    argv += ["--models", "ConvNet", "--threads", "1"]
    assert main(feature_maps, argv) == 0
    first = capsys.readouterr().out
    assert "| control: random |" in first and "| ConvNet | large | second-to-last | 0." in first
    records = records_in(tmp_path / "out" / "feature_maps.jsonl").read()
    assert len(records) == 2 * (12 + 10) and all(0 <= record["auc"] <= 1 for record in records)
    monkeypatch.setattr(feature_maps, "_trained", None)
    assert main(feature_maps, argv) == 0
    assert first.endswith(capsys.readouterr().out)
