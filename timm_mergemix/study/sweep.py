"""Many trials, one line of JSON each; what is there already is not run again."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ..errors import MergeMixError, check_int
from ..training.progress import Reporter
from .places import HERE, Places
from .trial import Trial, run_trial

__all__ = ["read_records", "sweep"]

Record = dict[str, Any]


def read_records(path: Path) -> list[Record]:
    """The finished trials of a file; none if there is no file.

    Raises:
        MergeMixError: If a line is not one of ours.
    """
    if not path.is_file():
        return []
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except json.JSONDecodeError as error:
        raise MergeMixError(f"{path}: got a line that is no JSON ({error}), wanted the records of a sweep") from error


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
        MergeMixError: As a trial does. The others that are running are finished first.
    """
    check_int("jobs", jobs, 1)
    done = {json.dumps(record["trial"], sort_keys=True) for record in read_records(path)}
    left = [trial for trial in dict.fromkeys(trials) if json.dumps(asdict(trial), sort_keys=True) not in done]
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoints = path.parent / "checkpoints"
    with reporter.bar("trials", len(left), unit="trial") as bar:
        for trial, record in _run_all(left, checkpoints, device, jobs, places, reporter):
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
            (checkpoints / f"{trial.key}.pt").unlink(missing_ok=True)
            top1 = record["test" if trial.test else "val"]["top1"]
            bar.step()
            if not reporter.bars:
                reporter.say(f"{trial.key}: top-1 {100 * top1:.2f} %, {record['seconds']:.0f} s")
    return read_records(path)


def _run_all(
    trials: Iterable[Trial], out: Path, device: torch.device, jobs: int, places: Places, reporter: Reporter
) -> Iterator[tuple[Trial, Record]]:
    if jobs == 1:
        yield from ((trial, run_trial(trial, out, device, reporter, places)) for trial in trials)
        return
    # Not forked: threads and accelerators do not survive it.
    context, quiet = multiprocessing.get_context("spawn"), Reporter(quiet=True)
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        running = {pool.submit(run_trial, trial, out, device, quiet, places): trial for trial in trials}
        try:
            for future in as_completed(running):
                yield running[future], future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
