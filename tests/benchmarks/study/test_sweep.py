"""A sweep runs the trials that are missing in its file, and a failing trial does not stop the others."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.study import sweep as module
from benchmarks.study import tasks
from benchmarks.study.setup import Setup
from benchmarks.study.sweep import sweep, trials_in
from benchmarks.study.trial import Trial
from timm_mergemix import MergeMixError
from timm_mergemix.training.progress import Reporter

from . import made

CPU, QUIET = torch.device("cpu"), Reporter(quiet=True)


def test_finished_trials_are_not_run_again(stripes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "runs" / "trials.jsonl"
    first = [Trial(stripes, "none", seed) for seed in (0, 1)]
    before = sweep(first, path, CPU, QUIET)
    ran: list[Trial] = []
    real = module.run_trial
    monkeypatch.setattr(module, "run_trial", lambda trial, *rest: ran.append(trial) or real(trial, *rest))
    after = sweep([*first, Trial(stripes, "mixup", 0)], path, CPU, QUIET)
    assert [trial.method for trial in ran] == ["mixup"]
    assert after[:2] == before and len(after) == 3
    assert not list((tmp_path / "runs" / "checkpoints").iterdir())


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_failing_trial_does_not_stop_the_others(tmp_path: Path, jobs: int) -> None:
    path = tmp_path / "trials.jsonl"
    bad = Trial("digits", "none", 0, (("beta", 1.0),))
    with pytest.raises(MergeMixError, match=r"1 of 2 trials failed: digits-none-0-.*: options"):
        sweep([bad, Trial("digits", "none", 0, (("epochs", 1),))], path, CPU, QUIET, jobs=jobs)
    assert len(trials_in(path).read()) == 1


def test_parallel_trials_give_the_same_records(tmp_path: Path) -> None:
    trials = [Trial("digits", name, 0, (("epochs", 1),)) for name in ("none", "timm")]
    one = sweep(trials, tmp_path / "one.jsonl", CPU, QUIET)
    two = sweep(trials, tmp_path / "two.jsonl", CPU, QUIET, jobs=2)

    def by_method(records: list[dict]) -> dict:
        return {record["trial"]["method"]: record["val"]["loss"] for record in records}

    assert by_method(one) == pytest.approx(by_method(two), rel=1e-3)


def test_an_incomplete_last_line_is_run_again(stripes: str, tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    trials = [Trial(stripes, "none", seed) for seed in (0, 1)]
    before = sweep(trials, path, CPU, QUIET)
    path.write_text(path.read_text()[:-20])
    assert trials_in(path).read() == before[:1]
    assert [record["val"] for record in sweep(trials, path, CPU, QUIET)] == [record["val"] for record in before]


def test_files_of_other_programs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    assert trials_in(path).read() == []
    for text in ('{"a": 1}\n', "no json\n", "[1]\n"):
        path.write_text(text)
        with pytest.raises(
            MergeMixError, match=r"trials.jsonl, line 1: got .*, wanted a JSON object with trial, circumstances, val"
        ):
            trials_in(path).read()
    path.unlink()
    with pytest.raises(MergeMixError, match="jobs: got 0"):
        sweep([], path, CPU, QUIET, jobs=0)


def test_images_are_loaded_before_processes_start(
    stripes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Missing(made.Stripes):
        def __call__(self, *args: object) -> Setup:
            raise MergeMixError("no images")

    monkeypatch.setitem(tasks.TASKS, stripes, replace(made.TASK, set_up=Missing()))
    monkeypatch.setattr(module, "in_processes", None)
    with pytest.raises(MergeMixError, match="no images"):
        sweep([Trial(stripes, "none")], tmp_path / "trials.jsonl", CPU, QUIET, jobs=2)
