"""Learning curves of runs on disk, of this library or of timm's train.py."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import unusable

__all__ = ["history_in", "is_history", "read_all", "read_histories"]

Record = dict[str, float]
RUN_FILES = ("results.json", "summary.csv")
PREFERENCE = "train_preference_loss"  # the launcher's column in timm's summary


def is_history(path: Path) -> bool:
    """Whether a file is named like a training history: ``results.json`` of this library or ``summary.csv`` of timm."""
    return path.suffix in (".json", ".csv")


def history_in(path: Path) -> Path:
    """Returns the history of a run where ``path`` is its directory, and ``path`` itself everywhere else."""
    return next((path / name for name in RUN_FILES if (path / name).is_file()), path)


def read_histories(path: Path) -> dict[str, list[Record]]:
    """Returns, for each run in a file, its records with ``epoch``, ``train_loss`` and ``val_top1`` (0 to 1).

    Records of a run with a preference also have ``preference``, the mean of that term, which the loss includes.

    Raises:
        MergeMixError: If it is neither ``results.json`` of this library nor ``summary.csv`` of timm's train.py.
    """
    try:
        return _from_csv(path) if path.suffix == ".csv" else _from_json(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, csv.Error) as error:
        raise unusable("images", f"{path} is not a training history: {type(error).__name__}: {error}") from error


def read_all(paths: Sequence[Path]) -> dict[str, list[Record]]:
    """Returns the runs of several files. If two have the same name, their paths are added to it."""
    found = [(path, name, lines) for path in paths for name, lines in read_histories(path).items()]
    count = Counter(name for _, name, _ in found)
    return {name if count[name] == 1 else f"{path}: {name}": lines for path, name, lines in found}


def _from_csv(path: Path) -> dict[str, list[Record]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["epoch"] != "epoch"]  # a run that goes on repeats the header
    records: dict[float, Record] = {}
    for row in rows:  # and maybe an epoch, of which the last one counts
        epoch = float(row["epoch"]) + 1  # timm counts from 0
        loss, top1 = float(row["train_loss"]), float(row["eval_top1"]) / 100
        records[epoch] = {"epoch": epoch, "train_loss": loss, "val_top1": top1}
        if row.get(PREFERENCE):
            records[epoch] |= {"preference": float(row[PREFERENCE])}
    return {path.parent.name or path.stem: list(records.values())}


def _from_json(path: Path) -> dict[str, list[Record]]:
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if "methods" in results:
        found = {method["title"]: method["history"] for method in results["methods"].values()}
    else:
        found = {path.parent.name or path.stem: results["history"]}
    return {name: [_checked(record) for record in history] for name, history in found.items()}


def _checked(record: Record) -> Record:
    for value in (record["epoch"], record["train_loss"], record["val_top1"]):
        if value is not None:  # as a number that is not finite is written
            float(value)
    return record
