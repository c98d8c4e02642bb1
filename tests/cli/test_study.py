from pathlib import Path

import pytest
from PIL import Image

from timm_mergemix.cli.main import main
from timm_mergemix.cli.study import parse_options
from timm_mergemix.errors import MergeMixError

from ..study.made import stripes

__all__ = ["stripes"]

TRAIN = ["bench", "--train", "--threads", "1"]


def test_a_comparison_from_the_command_line(
    stripes: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:

    out = ["--out", str(tmp_path)]
    few = ["--tasks", "digits", "--methods", "none", "timm", "--set", "epochs=1"]
    assert main([*TRAIN, *out, *few]) == 0
    assert "Mixup + CutMix (timm)" in capsys.readouterr().out
    assert len((tmp_path / "trials.jsonl").read_text().splitlines()) == 2
    assert not (tmp_path / "test.md").exists()
    assert main([*TRAIN, *out, "--report"]) == 0
    with Image.open(tmp_path / "val.png") as picture:
        assert picture.width > 500


def test_equal_time_sets_the_epochs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from timm_mergemix.bench.timing import Ratio
    from timm_mergemix.cli import study

    monkeypatch.setattr(study, "step_costs", lambda *_, **__: {"timm": Ratio(0.5, 0.4, 0.6)})
    arguments = [*TRAIN, "--out", str(tmp_path), "--tasks", "digits", "--methods", "timm", "--set", "epochs=1"]
    assert main([*arguments, "--equal-time", "--test"]) == 0
    assert '"epochs": 2' in (tmp_path / "trials.jsonl").read_text()
    assert (tmp_path / "costs-digits.json").is_file() and (tmp_path / "test.md").is_file()


def test_nothing_to_report_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TRAIN, "--out", str(tmp_path), "--report"]) != 0
    assert "holds no trial" in capsys.readouterr().err


def test_options_are_read() -> None:
    assert parse_options(["lr=1e-3", "saliency_r=keep:0.5", "divide=False", "mode=elem"]) == {
        "lr": 1e-3,
        "saliency_r": "keep:0.5",
        "divide": False,
        "mode": "elem",
    }
    with pytest.raises(MergeMixError, match="set: got 'lr', wanted NAME=VALUE"):
        parse_options(["lr"])
