"""The sweep over timm says what is read of each model, and finds one that fails."""

from __future__ import annotations

import pytest
import torch

from timm_mergemix.merge.find.feature_maps import FeatureMaps
from tools.read_sweep import main, read


@pytest.mark.parametrize(
    ("name", "status", "detail"),
    [
        ("test_vit", "attention", ""),
        ("test_resnet", "feature map", "(2, 192, 10, 10)"),
        ("swin_tiny_patch4_window7_224", "feature map", "(2, 384, 14, 14)"),
    ],
)
def test_what_is_read(name: str, status: str, detail: str) -> None:
    reading = read(name)
    assert (reading.name, reading.status, reading.detail) == (name, status, detail)


def test_models_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--filter", "test_[rv][ei][st]*"]) == 0
    out = capsys.readouterr().out
    assert "feature map: 1" in out and "attention:" in out


@pytest.mark.parametrize("shape", [(2, 8, 3, 10), (1, 8, 10, 10)])
def test_a_map_of_another_shape_is_a_failure(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(FeatureMaps, "run", lambda self, images, index: torch.empty(shape))
    assert main(["--filter", "test_resnet"]) == 1
    assert f"test_resnet: failed: {shape}" in capsys.readouterr().out


def test_a_model_that_raises_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: FeatureMaps, images: torch.Tensor, index: int) -> torch.Tensor:
        raise RuntimeError("no\nway")

    monkeypatch.setattr(FeatureMaps, "run", fail)
    assert (read("test_resnet").status, read("test_resnet").detail) == ("failed", "RuntimeError: no")
