"""`python -m benchmarks.study` trains, writes its files, and reports errors."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmarks.command import main
from benchmarks.study import command as study
from benchmarks.study import cost, sweep
from benchmarks.study.trial import Trial
from timm_mergemix.tune.timing import Ratio

TRAIN = ["--threads", "1"]


def run(argv: list[str]) -> int:
    return main(study, argv)


def test_a_comparison_runs_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path)]
    few = ["--tasks", "digits", "--methods", "none", "timm", "--set", "epochs=1"]
    assert run([*TRAIN, *out, *few]) == 0
    assert "Mixup + CutMix" in capsys.readouterr().out
    assert len((tmp_path / "trials.jsonl").read_text().splitlines()) == 2
    assert not (tmp_path / "test.md").exists()
    assert run([*TRAIN, *out, "--report"]) == 0
    for name in ("val.png", "val-curves.png"):
        with Image.open(tmp_path / name) as picture:
            assert picture.width > 500


def test_equal_time_sets_the_epochs_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = iter([Ratio(0.5, 0.4, 0.6)])
    monkeypatch.setattr(cost, "step_cost", lambda *_, **__: next(measured))
    arguments = [*TRAIN, "--out", str(tmp_path), "--tasks", "digits", "--methods", "cutmix", "--set", "epochs=1"]
    for _ in range(2):
        assert run([*arguments, "--equal-time", "--test"]) == 0
    (record,) = (tmp_path / "trials.jsonl").read_text().splitlines()
    assert '"epochs": 2' in record and (tmp_path / "test.md").is_file()


def test_options_of_a_mixer_are_ignored_for_training_without_mixing(tmp_path: Path) -> None:
    arguments = [*TRAIN, "--out", str(tmp_path), "--tasks", "digits", "--methods", "none"]
    assert run([*arguments, "--set", "epochs=1", "prob=0.5", "prob=1"]) == 0
    (record,) = (tmp_path / "trials.jsonl").read_text().splitlines()
    assert '"prob"' not in record


@pytest.mark.parametrize("method", ["none", "mixup", "mergemix"])
def test_an_unknown_option_is_refused_before_anything_is_trained(
    method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*TRAIN, "--out", str(tmp_path), "--tasks", "digits", "--methods", method, "--set", "epochs=1"]
    assert run([*arguments, "nope=1"]) == 2
    assert "--set: got 'nope', wanted options of" in capsys.readouterr().err
    assert not (tmp_path / "trials.jsonl").exists()


def test_a_report_without_trials_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*TRAIN, "--out", str(tmp_path), "--report"]) != 0
    assert "holds no trial" in capsys.readouterr().err


def test_settings_can_be_drawn_at_random(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*TRAIN, "--out", str(tmp_path), "--tasks", "digits", "--methods", "mixup", "--seeds", "0", "1"]
    assert run([*arguments, "--set", "epochs=1", "--set", "lr=1e-3", "lr=1e-1", "--draw", "4"]) == 0
    records = list(map(json.loads, (tmp_path / "trials.jsonl").read_text().splitlines()))
    assert 2 <= len(records) <= 4
    assert {record["trial"]["seed"] for record in records} == {0, 1}
    assert {dict(record["trial"]["options"])["lr"] for record in records} == {1e-3, 1e-1}


def test_an_interrupted_comparison_says_how_to_resume_and_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*TRAIN, "--out", str(tmp_path), "--tasks", "digits", "--methods", "none", "mixup", "--set", "epochs=1"]
    real, ran = sweep.run_trial, []

    def once(trial: Trial, *rest: Any) -> Any:
        ran.append(trial.method)
        if ran == ["none", "mixup"]:
            raise KeyboardInterrupt
        return real(trial, *rest)

    monkeypatch.setattr(sweep, "run_trial", once)
    assert run(arguments) == 130
    assert f"continue with: python -m benchmarks.study {' '.join(arguments)}" in capsys.readouterr().err
    assert run(arguments) == 0 and ran == ["none", "mixup", "mixup"]
    assert len((tmp_path / "trials.jsonl").read_text().splitlines()) == 2
