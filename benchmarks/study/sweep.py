"""Runs many trials with one line of JSON each; finished trials are not run again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch

from timm_mergemix.errors import MergeMixError, check_int, unusable
from timm_mergemix.training.progress import Reporter

from ..records import Record, Records
from ..workers import in_processes
from .places import HERE, Places
from .run import run_trial
from .tasks import find_task
from .trial import Trial, circumstances

__all__ = ["sweep", "trials_in"]


def trials_in(path: Path) -> Records:
    """Returns the records of the finished trials in a file."""
    return Records(path, ("trial", "circumstances"), ("val",))


def sweep(
    trials: Sequence[Trial],
    path: Path,
    device: torch.device,
    reporter: Reporter,
    jobs: int = 1,
    places: Places = HERE,
) -> list[Record]:
    """Runs the trials that are missing in a file, and appends each one when it is finished.

    A trial that was interrupted resumes from its last epoch.

    Args:
        trials: The trials.
        path: The file of records; checkpoints are kept beside it until a trial is finished.
        device: The device for training.
        reporter: Shows progress bars and lines.
        jobs: Trials that run at the same time, in processes of one thread each if there are several.
        places: Paths of weights and data.

    Returns:
        All records of the file.

    Raises:
        MergeMixError: If trials failed; the others are finished first.
    """
    check_int("jobs", jobs, 1)
    checkpoints, failed = path.parent / "checkpoints", {}

    def run(left: list[Trial]) -> Iterator[Record]:
        with reporter.bar("trials", len(left), unit="trial") as bar:
            for trial, record in _run_all(left, checkpoints, device, jobs, places, reporter):
                bar.step()
                if isinstance(record, MergeMixError):
                    failed[trial.key] = record
                    reporter.say(f"{trial.key}: {record}")
                    continue
                yield record
                (checkpoints / f"{trial.key}.pt").unlink(missing_ok=True)
                if not reporter.bars:
                    reporter.say(f"{trial.key}: top-1 {100 * record['test' if trial.test else 'val']['top1']:.2f} %")
        if failed:
            reasons = "; ".join(f"{key}: {error}" for key, error in failed.items())
            raise unusable(f"{len(failed)} of {len(left)} trials failed", reasons)

    records = trials_in(path)
    records.run_missing([((asdict(trial), circumstances(trial, places)), trial) for trial in trials], run)
    return records.read()


def _run_all(
    trials: Sequence[Trial], out: Path, device: torch.device, jobs: int, places: Places, reporter: Reporter
) -> Iterator[tuple[Trial, Record | MergeMixError]]:
    if jobs == 1:
        yield from ((trial, _run(trial, out, device, reporter, places)) for trial in trials)
        return
    for task in {trial.task for trial in trials}:
        find_task(task).set_up(0, device, places)  # downloads data here, before other processes need it
    run = partial(_run, out=out, device=device, reporter=Reporter(quiet=True), places=places)
    yield from in_processes(run, trials, jobs)


def _run(trial: Trial, out: Path, device: torch.device, reporter: Reporter, places: Places) -> Record | MergeMixError:
    """Returns the record of a trial, or the reason why it failed, so that a failure does not stop the others."""
    try:
        return run_trial(trial, out, device, reporter, places)
    except MergeMixError as error:
        return error
