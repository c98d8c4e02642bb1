"""Runs transformers' Trainer on questions: its settings, its progress bar, and resuming from checkpoints."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import PrinterCallback, TrainerCallback, TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from transformers.utils import logging

from ...vlm.trainer import MergeMixTrainer
from ..progress import Bar, Reporter
from .arms import Arm, VqaSettings, pair_mixer, preference_of
from .data import VqaData

__all__ = ["train"]

SAVED = 5  # number of checkpoints per training
LOGGED = 20  # number of lines in the history


class Progress(TrainerCallback):
    """Shows a progress bar, and adds the time per step to the logs."""

    def __init__(self, bar: Bar) -> None:
        self.bar = bar
        self.last = time.perf_counter()
        self.times: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Records the time of the step, and advances the bar."""
        now = time.perf_counter()
        self.times.append(now - self.last)
        self.last = now
        shown = {"loss": f"{state.log_history[-1]['loss']:.3f}"} if state.log_history else {}
        self.bar.step(**shown)

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Adds the median time per step since the last log."""
        if self.times:
            state.log_history[-1]["seconds_per_step"] = sorted(self.times)[len(self.times) // 2]
            self.times.clear()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Restarts the clock, so that the time for saving does not count as part of a step."""
        self.last = time.perf_counter()


def train(
    arm: Arm, model: Any, data: VqaData, settings: VqaSettings, folder: Path, steps: int, reporter: Reporter
) -> list[dict[str, float]]:
    """Trains a model, from the last checkpoint in ``folder`` if there is one, and returns the log history."""
    logged = max(1, steps // LOGGED)
    args = TrainingArguments(
        str(folder),
        max_steps=steps,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.lr,
        lr_scheduler_type="cosine",
        warmup_steps=max(1, steps // 10),
        weight_decay=0.05,
        adam_beta2=0.98,
        logging_steps=logged,
        save_steps=logged * max(1, steps // (SAVED * logged)),  # a multiple, so that no log interval is split
        save_total_limit=1,
        seed=settings.seed,
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=False,
        use_cpu=True,  # as fast as a GPU for such a small model
        remove_unused_columns=False,
    )
    checkpoint = _last_whole(folder)
    trainer = MergeMixTrainer(
        model=model,
        args=args,
        train_dataset=range(len(data.train)),
        data_collator=data.train,
        mixer=None if arm.kind is None else pair_mixer(arm.kind, model, alpha=settings.alpha),
        preference=preference_of(arm, settings),
    )
    trainer.remove_callback(PrinterCallback)
    done = int(Path(checkpoint).name.rpartition("-")[2]) if checkpoint else 0
    if checkpoint and done >= steps:  # the trainer would run one more step
        with _silent():
            trainer._load_from_checkpoint(checkpoint)
        return TrainerState.load_from_json(str(Path(checkpoint) / TRAINER_STATE_NAME)).log_history
    with reporter.bar(arm.title, steps, done, unit="step") as bar, _silent():
        trainer.add_callback(Progress(bar))
        trainer.train(resume_from_checkpoint=checkpoint)
    return trainer.state.log_history


def _last_whole(folder: Path) -> str | None:
    """The last complete checkpoint, which has the trainer's state, the last file to be written."""
    found = [path for path in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*") if path.name.rpartition("-")[2].isdigit()]
    for path in sorted(found, key=lambda path: -int(path.name.rpartition("-")[2])):
        try:
            TrainerState.load_from_json(str(path / TRAINER_STATE_NAME))
        except (OSError, ValueError, TypeError):
            continue
        return str(path)
    return None


@contextmanager
def _silent() -> Iterator[None]:
    """Silences transformers' own progress bars and messages, which would mix with those of a command."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
