"""`python -m benchmarks.vqa` runs the requested trainings, keeps records, and prints tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.command import build_parser, main
from benchmarks.vqa import command
from benchmarks.vqa.arms import ARMS, LONGER
from benchmarks.vqa.command import longer, trials_of
from benchmarks.vqa.results import ANSWERS, PAIRS
from benchmarks.vqa.trial import Trial
from timm_mergemix.training.vqa.arms import VqaSettings

COSTS = {name: {"value": value, "low": value, "high": value} for name, value in zip(ARMS, range(2, 10), strict=True)}


def parsed(*argv: str) -> Any:
    return build_parser(command).parse_args(argv)


def fake_record(trial: Trial) -> dict[str, Any]:
    measured = dict.fromkeys([name for name, _, _ in (*ANSWERS, *PAIRS)], 0.5)
    return {"trial": trial.plain(), "steps": 7, "measured": measured | {"accuracy": 0.6 + 0.01 * trial.settings.seed}}


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Trial]:
    """Records the trials that are run instead of training."""
    trials: list[Trial] = []
    monkeypatch.setattr(command, "run_trial", lambda trial, out, reporter: trials.append(trial) or fake_record(trial))
    monkeypatch.setattr(command, "data_of", lambda test: test)
    monkeypatch.setattr(command, "measure_costs", lambda *args, **options: COSTS)
    return trials


def test_each_arm_is_trained_with_each_seed_one_seed_after_the_other() -> None:
    trials = trials_of(parsed("--arms", "cutmix", "sft", "--seeds", "3", "1"))
    assert [(each.arm, each.settings.seed) for each in trials] == [
        ("cutmix", 3),
        ("sft", 3),
        ("cutmix", 1),
        ("sft", 1),
    ]
    assert [each.arm for each in trials_of(parsed())] == [*ARMS] * 3
    assert not any(each.test for each in trials) and all(each.test for each in trials_of(parsed("--test")))


def test_settings_are_read_from_the_flags() -> None:
    (trial,) = trials_of(parsed("--arms", "cutmix", "--seeds", "0"))
    assert trial.settings == VqaSettings()
    training = ("--epochs", "0.5", "--batch-size", "8", "--lr", "0.1")
    numbers = ("--beta", "2", "--gamma", "0.5", "--weight", "0.25", "--alpha", "0.75")
    words = ("--variant", "hinge", "--detach-loser")
    argv = ("--arms", "cutmix", "sft", "--seeds", "5", *training, *numbers, *words)
    with_preference, without = trials_of(parsed(*argv))
    given = {"epochs": 0.5, "batch_size": 8, "lr": 0.1, "seed": 5}
    wanted = {"beta": 2.0, "gamma": 0.5, "weight": 0.25, "alpha": 0.75, "variant": "hinge", "detach_loser": True}
    assert with_preference.settings == VqaSettings(**given, **wanted)
    # One training without the preference serves all settings of the preference.
    assert without.settings == VqaSettings(**given)


def test_faster_arms_train_for_as_long_as_the_slowest() -> None:
    costs = {**COSTS, "sft": {"value": 1.0}, "mergemix": {"value": 2.468}, "sft-half": {"value": 0.5}}
    trials = trials_of(parsed("--seeds", "0", "1", "--epochs", "1.5"))
    found = longer(trials, costs)
    assert [each.arm for each in found] == ["sft", "sft-half", "mergemix-half"] * 2
    assert [each.settings.seed for each in found] == [0, 0, 0, 1, 1, 1]
    factors = {"sft": 2.47, "sft-half": 4.94, "mergemix-half": round(2.468 / COSTS["mergemix-half"]["value"], 2)}
    for each in found:
        assert each.settings.epochs == pytest.approx(1.5 * factors[each.arm], abs=5e-4)
        same = trials[[*ARMS].index(each.arm)]
        assert {**each.plain(), "epochs": 1.5, "seed": 0} == same.plain()


def test_finished_trainings_are_not_repeated(
    ran: list[Trial], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--out", str(tmp_path), "--arms", "sft", "cutmix", "--seeds", "0", "1", "--epochs", "1.5"]
    assert main(command, argv) == 0
    first = capsys.readouterr().out
    assert [(each.arm, each.settings.seed) for each in ran] == [("sft", 0), ("cutmix", 0), ("sft", 1), ("cutmix", 1)]
    assert (
        "| fine-tuning alone | 1.5 | 2 | 60.5 ± 0.7 |" in first
        and "| over fine-tuning alone, 1.5 epochs, held-out drawings |" in first
    )
    assert main(command, argv) == 0
    assert len(ran) == 4 and capsys.readouterr().out == first
    assert main(command, [*argv, "--seeds", "0", "2"]) == 0
    assert [(each.arm, each.settings.seed) for each in ran[4:]] == [("sft", 2), ("cutmix", 2)]
    assert main(command, [*argv, "--test"]) == 0
    assert [each.test for each in ran[6:]] == [True] * 4
    lines = [json.loads(line) for line in (tmp_path / "trials.jsonl").read_text().splitlines()]
    assert [line["trial"] for line in lines] == [each.plain() for each in ran]


def test_an_interrupted_comparison_is_resumed(
    ran: list[Trial], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    working: Callable[..., Any] = command.run_trial

    def once(trial: Trial, *rest: Any) -> Any:
        if ran:
            raise KeyboardInterrupt
        return working(trial, *rest)

    argv = ["--out", str(tmp_path), "--arms", "sft", "cutmix", "random", "--seeds", "0"]
    monkeypatch.setattr(command, "run_trial", once)
    assert main(command, argv) == 130
    assert f"continue with: python -m benchmarks.vqa {' '.join(argv)}" in capsys.readouterr().err
    monkeypatch.setattr(command, "run_trial", working)
    assert main(command, argv) == 0
    assert [each.arm for each in ran] == ["sft", "cutmix", "random"]


def test_equal_time_measures_costs_once_and_trains_for_longer(
    ran: list[Trial], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured: list[Any] = []
    monkeypatch.setattr(command, "measure_costs", lambda *args, **options: measured.append(args) or COSTS)
    argv = ["--out", str(tmp_path), "--seeds", "0", "--epochs", "1.5", "--equal-time"]
    for _ in range(2):
        assert main(command, argv) == 0
    assert len(measured) == 1 and len(ran) == len(ARMS) + len(LONGER[1])
    assert ran[len(ARMS) :] == longer(ran[: len(ARMS)], COSTS)
    assert "| fine-tuning alone | 2.25 | 1 |" in capsys.readouterr().out  # 1.5 epochs, and 3 / 2 the time
    assert main(command, [*argv, "--batch-size", "8"]) == 0
    assert len(measured) == 2
    # Detached losers cost less; the settings are those of the preference, whatever the first arm is.
    assert main(command, [*argv, "--detach-loser"]) == 0
    assert [settings.detach_loser for _, settings in measured] == [False, False, True]


@pytest.mark.parametrize("progress", [True, False])
def test_several_trainings_at_a_time(
    progress: bool,
    ran: list[Trial],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[int] = []

    def in_processes(run: Callable[..., Any], items: list[Trial], jobs: int) -> Any:
        asked.append(jobs)
        yield from [(item, run(item)) for item in items][::-1]

    monkeypatch.setattr(command, "in_processes", in_processes)
    argv = ["--out", str(tmp_path), "--arms", "sft", "cutmix", "--seeds", "0", "--jobs", "2"]
    assert main(command, [*argv, "--progress" if progress else "--no-progress"]) == 0
    shown = capsys.readouterr()
    assert asked == [2] and [each.arm for each in ran] == ["sft", "cutmix"]
    assert ("cutmix, seed 0: accuracy 60.0 %" in shown.out) != progress
    assert ("trainings: 100%" in shown.err) == progress
    lines = [json.loads(line)["trial"]["arm"] for line in (tmp_path / "trials.jsonl").read_text().splitlines()]
    assert lines == ["cutmix", "sft"]  # in the order in which they are finished


def test_one_thread_is_enough(ran: list[Trial], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    monkeypatch.setattr(
        command, "run_trial", lambda trial, *_: threads.append(torch.get_num_threads()) or fake_record(trial)
    )
    torch.set_num_threads(2)
    try:
        assert main(command, ["--out", str(tmp_path), "--arms", "sft", "--seeds", "0"]) == 0
        assert threads == [1] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--jobs", "0"], "jobs: got 0"),
        (["--epochs", "0"], "epochs: got 0"),
        (["--beta", "-1"], "beta: got -1"),
        (["--seeds", "-1"], "seed: got -1"),
    ],
)
def test_bad_input_is_named(
    ran: list[Trial], more: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command, ["--out", str(tmp_path), *more]) == 2
    assert message in capsys.readouterr().err and not ran


def test_an_unknown_arm_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command, ["--arms", "dpo"]) == 2
    assert "invalid choice: 'dpo'" in capsys.readouterr().err
