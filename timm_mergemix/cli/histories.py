"""Learning curves of runs on disk, whoever trained them."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import MergeMixError

__all__ = ["is_history", "read_histories"]

Record = Mapping[str, float]


def is_history(path: Path) -> bool:
    """Whether a file is named as what training writes: ``results.json`` of this library, ``summary.csv`` of timm."""
    return path.suffix in (".json", ".csv")


def read_histories(path: Path) -> dict[str, list[Record]]:
    """For each run of a file its records with ``epoch``, ``train_loss`` and ``val_top1`` (0 to 1).

    Args:
        path: ``results.json`` of ``timm-mergemix demo`` or ``train``, or ``summary.csv`` of timm's train.py.

    Raises:
        MergeMixError: If it is neither.
    """
    try:
        return _from_csv(path) if path.suffix == ".csv" else _from_json(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise MergeMixError(f"images: {path} holds no training history: {type(error).__name__}: {error}") from error


def _from_csv(path: Path) -> dict[str, list[Record]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    records: list[Record] = [
        {
            "epoch": float(row["epoch"]) + 1,  # timm counts from 0
            "train_loss": float(row["train_loss"]),
            "val_top1": float(row["eval_top1"]) / 100,
        }
        for row in rows
    ]
    return {path.parent.name or path.stem: records}


def _from_json(path: Path) -> dict[str, list[Record]]:
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if "methods" in results:
        return {method["title"]: method["history"] for method in results["methods"].values()}
    return {path.parent.name or path.stem: results["history"]}
