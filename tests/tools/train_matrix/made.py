"""Made-up runs, and the environment for real runs."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from tools.train_matrix.run import Run

SCRIPT = Path(__file__).parent / "scripts" / "train.py"
ROOT = Path(__file__).parents[3]
# Lets the script find its own helpers and this library from any working directory.
PYTHONPATH = f"{ROOT / 'tests' / 'launch' / 'scripts'}:{ROOT}"


def made_run(
    place: Path,
    rows: Sequence[Mapping[str, float]] = (),
    state: Mapping[str, torch.Tensor] | None = None,
    log: str = "",
    rc: int = 0,
) -> Run:
    """Makes a finished run with a given summary and weights."""
    output = place / "out"
    output.mkdir(parents=True)
    if rows:
        with (output / "summary.csv").open("w") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    if state is not None:
        torch.save({"state_dict": dict(state), "epoch": 1}, output / "last.pth.tar")
    return Run(rc, log, output, place)


def epochs(*losses: float, **columns: Any) -> list[dict[str, float]]:
    """Makes the rows of a summary, one per training loss."""
    return [{"epoch": i, "train_loss": loss, **columns} for i, loss in enumerate(losses)]
