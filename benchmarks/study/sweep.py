"""Many trials, one line of JSON each; what is there already is not run again."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from timm_mergemix.errors import MergeMixError, Words, check_int, unusable, wrong
from timm_mergemix.training.progress import Reporter

from .places import HERE, Places
from .tasks import find_task
from .trial import Trial, circumstances, run_trial

__all__ = ["read_records", "sweep"]

Record = dict[str, Any]


def read_records(path: Path) -> list[Record]:
    """The finished trials of a file; none if there is no file. A last line that was cut off is left out.

    Raises:
        MergeMixError: If a line is not one of ours.
    """
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
    return [_parsed(line, path, number) for number, line in enumerate(lines, 1) if line.endswith("\n")]


def _parsed(line: str, path: Path, number: int) -> Record:
    try:
        record = json.loads(line)
        if {"trial", "circumstances", "val"} <= set(record):
            return record
    except (json.JSONDecodeError, TypeError):
        pass
    raise wrong(f"{path}, line {number}", Words("no record of a trial"), "those that a sweep wrote")


def sweep(
    trials: Sequence[Trial],
    path: Path,
    device: torch.device,
    reporter: Reporter,
    jobs: int = 1,
    places: Places = HERE,
) -> list[Record]:
    """Runs the trials that a file does not have, and adds each one to it as it is finished.

    A trial that was interrupted goes on from its last epoch.

    Args:
        trials: Which ones.
        path: The file; checkpoints lie beside it until a trial is finished.
        device: Where to train.
        reporter: For bars and lines.
        jobs: Trials at a time; several run in processes of one thread each, which suits small models.
        places: See `Places`.

    Returns:
        All records of the file.

    Raises:
        MergeMixError: If trials failed; the others are finished first.
    """
    check_int("jobs", jobs, 1)
    done = {_identity(record["trial"], record["circumstances"]) for record in read_records(path)}
    left = [
        trial for trial in dict.fromkeys(trials) if _identity(asdict(trial), circumstances(trial, places)) not in done
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoints, failed = path.parent / "checkpoints", {}
    with reporter.bar("trials", len(left), unit="trial") as bar:
        for trial, record in _run_all(left, checkpoints, device, jobs, places, reporter):
            bar.step()
            if isinstance(record, MergeMixError):
                failed[trial.key] = record
                reporter.say(f"{trial.key}: {record}")
                continue
            _append(path, record)
            (checkpoints / f"{trial.key}.pt").unlink(missing_ok=True)
            if not reporter.bars:
                reporter.say(f"{trial.key}: top-1 {100 * record['test' if trial.test else 'val']['top1']:.2f} %")
    if failed:
        reasons = "; ".join(f"{key}: {error}" for key, error in failed.items())
        raise unusable(f"{len(failed)} of {len(left)} trials failed", reasons)
    return read_records(path)


def _identity(trial: dict[str, Any], around: str) -> str:
    return json.dumps([trial, around], sort_keys=True)


def _append(path: Path, record: Record) -> None:
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    whole = text[: text.rfind("\n") + 1]
    if whole != text:  # a line that was cut off
        path.write_text(whole, encoding="utf-8")
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def _run_all(
    trials: Sequence[Trial], out: Path, device: torch.device, jobs: int, places: Places, reporter: Reporter
) -> Iterator[tuple[Trial, Record | MergeMixError]]:
    if jobs == 1:
        yield from ((trial, _run(trial, out, device, reporter, places)) for trial in trials)
        return
    for task in {trial.task for trial in trials}:
        find_task(task).set_up(0, device, places)  # downloads here, where no other process does the same
    before = set(multiprocessing.active_children())
    # Not forked: threads and accelerators do not survive it.
    context, quiet = multiprocessing.get_context("spawn"), Reporter(quiet=True)
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=begin_worker) as pool:
        running = {pool.submit(_run, trial, out, device, quiet, places): trial for trial in trials}
        try:
            for future in as_completed(running):
                yield running[future], future.result()
        except BaseException:
            # Nobody waits for the others: they go on from their checkpoints.
            for process in set(multiprocessing.active_children()) - before:
                process.terminate()
            raise


def begin_worker() -> None:
    """One thread, and an end when the process that started this one is gone, however it went."""
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run(trial: Trial, out: Path, device: torch.device, reporter: Reporter, places: Places) -> Record | MergeMixError:
    """A record, or the reason why there is none: one trial that fails is no reason to stop the others."""
    try:
        return run_trial(trial, out, device, reporter, places)
    except MergeMixError as error:
        return error
