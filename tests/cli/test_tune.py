"""`timm-mergemix tune`: budgets, the table, and refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from timm_mergemix.cli import tune as module
from timm_mergemix.cli.main import main
from timm_mergemix.tune.search import Tuned

from ..training.made import write_folder


@pytest.mark.parametrize(("target", "budget"), [("2.0x", {"speedup": 2.0}), ("99", {"tokens": 99})])
def test_tuning(
    target: str, budget: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def tune_r(model: Any, **options: Any) -> list[Tuned]:
        assert budget.items() <= options.items()
        assert (options["images"], options["labels"]) == (None, None)
        options["report"]("on the way")
        return [Tuned(13, 2.0, (197, 184), 0.95), Tuned(("decreasing", 20), 2.1, (197, 160), 0.9)]

    monkeypatch.setattr(module, "tune_r", tune_r)
    assert main(["tune", target, "--model", "test_vit"]) == 0
    printed = capsys.readouterr().out
    assert "2.00x" in printed
    assert "decreasing:20 " in printed
    assert "random weights" in printed and "noise" in printed and "on the way" in printed
    assert "top-1" not in printed


@pytest.fixture
def trained(tmp_path: Path) -> list[str]:
    """A directory of two classes, and the checkpoint of a model that knows them."""
    write_folder(tmp_path / "val", each=3, size=32)
    torch.save(timm.create_model("test_vit", num_classes=2).state_dict(), tmp_path / "model.pt")
    return ["tune", "50", "--model", "test_vit", "--data", str(tmp_path / "val"), "--rounds", "1", "--quiet"]


def test_labelled_images_and_a_checkpoint_give_top1(
    trained: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*trained, "--checkpoint", str(tmp_path / "model.pt"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert all(0 <= each["top1"] <= 1 and 0 <= each["top1_unmerged"] <= 1 for each in found)
    assert main([*trained, "--checkpoint", str(tmp_path / "model.pt")]) == 0
    header, _, unmerged, *rows = capsys.readouterr().out.splitlines()
    assert header.endswith("top-1") and unmerged.startswith("0 (unmerged)") and len(rows) == len(found)


def test_weights_of_a_file_give_the_similarity_and_no_top1(
    trained: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--weights", str(tmp_path / "small.pt"), "--model-kwargs", "depth=2"]
    torch.save(timm.create_model("test_vit", depth=2).state_dict(), tmp_path / "small.pt")
    assert main([*trained, *small]) == 0
    printed = capsys.readouterr().out
    assert "top-1 " not in printed.splitlines()[0] and "random weights" not in printed
    assert "--weights leaves the head random" in printed
    assert main([*trained, *small[:2], "--model-kwargs", "depth=9"]) == 2
    assert "lacks" in capsys.readouterr().err


def test_unlabelled_images_give_similarity(trained: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(trained) == 0
    printed = capsys.readouterr().out
    assert "top-1" not in printed and "noise" not in printed and "random weights" in printed


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["99", "--model", "test_vit", "--checkpoint", "x.pt"],
            "--data: got none, wanted a directory with one directory for",
        ),
        (["99", "--model", "test_vit", "--data", "no/such/place"], "--data: got 'no/such/place'"),
        (["99", "--model", "test_vit", "--count", "0"], "--count: got 0"),
        (["fast"], "argument BUDGET: got 'fast', wanted a throughput"),
        (["1", "--model", "test_vit"], "timm-mergemix tune: BUDGET: "),
        (["2x", "--model", "test_vitt"], "--model: got 'test_vitt'"),
        (["2x", "--model", "test_resnet", "--img-size", "64"], "--model: ResNet is not supported"),
        (["2x", "--model", "test_vit", "--img-size", "33"], "--model: test_vit cannot be built, or does not"),
    ],
)
def test_bad_input(flags: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", *flags]) == 2
    assert message in capsys.readouterr().err
