"""transformers' training loop on questions: its settings, its progress bar, step times, and its silence."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from timm_mergemix.training.progress import Bar, Reporter
from timm_mergemix.training.vqa.arms import ARMS, VqaSettings
from timm_mergemix.training.vqa.model import small_llava

from .made import SIZE, data

transformers = pytest.importorskip("transformers", minversion="5.18")

from timm_mergemix.training.vqa import trainer  # noqa: E402
from timm_mergemix.training.vqa.trainer import Progress, train  # noqa: E402

DATA = data()


class Shown(Bar):
    """Records the values that are shown beside the bar at each step."""

    def __init__(self) -> None:
        self.values: list[dict[str, Any]] = []

    def step(self, **values: Any) -> None:
        self.values.append(values)


def tick(progress: Progress, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer.time, "perf_counter", lambda: progress.last + seconds)


def state(*lines: dict[str, float]) -> Any:
    return SimpleNamespace(log_history=list(lines))


def test_each_step_advances_the_bar_and_shows_the_last_loss() -> None:
    bar = Shown()
    progress = Progress(bar)
    progress.on_step_end(None, state(), None)
    progress.on_step_end(None, state({"loss": 2.0}, {"loss": 1.23456}), None)
    assert bar.values == [{}, {"loss": "1.235"}]


def test_a_log_has_the_median_step_time_since_the_last_log(monkeypatch: pytest.MonkeyPatch) -> None:
    progress = Progress(Bar())
    history = state({"loss": 2.0})
    for seconds in (0.5, 7.0, 0.25):
        tick(progress, seconds, monkeypatch)
        progress.on_step_end(None, history, None)
    progress.on_log(None, history, None)
    assert history.log_history == [{"loss": 2.0, "seconds_per_step": pytest.approx(0.5)}]
    tick(progress, 3.0, monkeypatch)
    progress.on_step_end(None, history, None)
    history.log_history.append({"loss": 1.0})
    progress.on_log(None, history, None)
    assert history.log_history[1] == {"loss": 1.0, "seconds_per_step": pytest.approx(3.0)}
    history.log_history.append({"train_runtime": 9.0})
    progress.on_log(None, history, None)  # no step has run since then
    assert history.log_history[2] == {"train_runtime": 9.0}


def test_the_time_for_saving_does_not_count_as_part_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    progress = Progress(Bar())
    tick(progress, 100.0, monkeypatch)
    progress.on_save(None, state(), None)
    tick(progress, 0.5, monkeypatch)
    progress.on_step_end(None, state(), None)
    assert progress.times == [pytest.approx(0.5)]


class Still:
    """Stands in for the trainer: records its arguments and does not train."""

    def __init__(self, **arguments: Any) -> None:
        self.arguments = arguments
        self.state = state({"loss": 1.0})
        STILL.append(self)

    def remove_callback(self, callback: Any) -> None: ...

    def add_callback(self, callback: Any) -> None: ...

    def train(self, resume_from_checkpoint: str | None) -> None:
        self.resumed = resume_from_checkpoint


STILL: list[Still] = []


def stilled(arm: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, steps: int = 100, **settings: Any) -> Still:
    STILL.clear()
    monkeypatch.setattr(trainer, "MergeMixTrainer", Still)
    model = small_llava(SIZE, len(DATA.words), width=32, text_width=32)
    assert train(arm, model, DATA, VqaSettings(**settings), folder, steps, Reporter(quiet=True)) == [{"loss": 1.0}]
    return STILL[0]


def test_the_users_settings_reach_the_trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = stilled(ARMS[1], tmp_path, monkeypatch, batch_size=5, lr=0.25, seed=3, alpha=0.5, weight=0.75)
    args = found.arguments["args"]
    assert (args.max_steps, args.per_device_train_batch_size, args.learning_rate, args.seed) == (100, 5, 0.25, 3)
    assert (args.logging_steps, args.save_steps, args.warmup_steps) == (5, 20, 10)
    assert args.report_to == [] and not args.remove_unused_columns
    mixer = found.arguments["mixer"]
    assert (mixer.config.kind, mixer.config.alpha, mixer.generator) == ("mergemix", 0.5, None)
    assert found.arguments["preference"].weight == 0.75
    assert list(found.arguments["train_dataset"]) == list(range(len(DATA.train)))
    assert found.arguments["data_collator"] is DATA.train and found.resumed is None


@pytest.mark.parametrize("steps", [1, 3, 45, 100, 1808])
def test_checkpoints_do_not_split_log_intervals(steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A run resumed within an interval would log the means of only part of its steps.
    args = stilled(ARMS[0], tmp_path, monkeypatch, steps).arguments["args"]
    assert args.save_steps % args.logging_steps == 0
    assert min(steps, 4) <= steps // args.save_steps <= 10 and args.save_total_limit == 1


def test_plain_fine_tuning_does_not_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = stilled(ARMS[0], tmp_path, monkeypatch)
    assert found.arguments["mixer"] is None and found.arguments["preference"].weight == 0


def test_training_resumes_from_the_last_complete_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for steps in (20, 9, 40, 50, 60):
        (tmp_path / f"checkpoint-{steps}").mkdir()
        if steps < 60:  # the last file of a checkpoint
            (tmp_path / f"checkpoint-{steps}" / "trainer_state.json").write_text("{}" if steps < 50 else '{"epo')
    (tmp_path / "checkpoint-best").mkdir()
    bars: list[tuple[Any, ...]] = []
    monkeypatch.setattr(Reporter, "bar", lambda self, *args, **options: bars.append((*args, options)) or Bar())
    assert stilled(ARMS[0], tmp_path, monkeypatch).resumed == str(tmp_path / "checkpoint-40")
    assert bars == [("fine-tuning alone", 100, 40, {"unit": "step"})]


class Stopping(Shown):
    """Interrupts the training in the second step."""

    def step(self, **values: Any) -> None:
        super().step(**values)
        if len(self.values) == 2:
            raise KeyboardInterrupt


def voice() -> tuple[int, bool]:
    logging = transformers.utils.logging
    return logging.get_verbosity(), logging.is_progress_bar_enabled()


def test_transformers_is_silent_during_training_and_its_verbosity_is_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    before, steps = voice(), []
    for bar in (Stopping(), Shown(), Shown()):
        monkeypatch.setattr(Reporter, "bar", lambda *_, bar=bar, **__: bar)
        model = small_llava(SIZE, len(DATA.words), width=32, text_width=32)
        with suppress(KeyboardInterrupt):
            train(ARMS[0], model, DATA, VqaSettings(batch_size=4), tmp_path, 3, Reporter(quiet=True))
        assert voice() == before
        steps.append(len(bar.values))
    assert steps == [2, 2, 0]  # out of three: the second run resumes after step 1, and the third has nothing left to do
    shown = capfd.readouterr()
    assert shown.out == "" and not any(word in shown.err for word in ("loss", "%|", "checkpoint"))
