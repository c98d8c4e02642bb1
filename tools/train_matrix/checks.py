"""Comparisons of runs. Each raises `CheckError` or returns a measured value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..require import require
from .bench import Bench
from .flags import MIX
from .run import Run

STILL = "--lr 1e-12"  # the weights hardly change, so losses of two runs can be compared
EVAL = ("eval_loss", "eval_top1", "eval_top5")
ALL = ("epoch", "train_loss", *EVAL, "lr")


def same(a: Run, b: Run, columns: Sequence[str] = ALL, within: float = 0.0, epochs: slice = slice(None)) -> str:
    """Columns of two summaries must be equal within a tolerance."""
    largest = 0.0
    for name in columns:
        ours, theirs = a.column(name)[epochs], b.column(name)[epochs]
        require(len(ours) == len(theirs) > 0, f"{len(ours)} epochs, wanted {len(theirs)}")
        differences = [abs(x - y) for x, y in zip(ours, theirs, strict=True)]
        largest = max(largest, *differences)
        require(all(difference <= within for difference in differences), f"{name}: {ours}, wanted {theirs}")
    return f"largest difference {largest:.1e}"


def apart(a: Run, b: Run, by: float = 1e-3, epoch: int = 0) -> None:
    """Training losses must differ."""
    ours, theirs = a.column("train_loss")[epoch], b.column("train_loss")[epoch]
    require(abs(ours - theirs) > by, f"train_loss of epoch {epoch}: {ours}, as without")


def trains(bench: Bench, flags: str = "", ours: str = MIX, processes: int = 1) -> Run:
    """Two epochs must have finite losses, a checkpoint like the bare run's, and a training loss unlike it."""
    bare = bench.bare(flags, processes=processes)
    hooked = bench.hooked(f"{flags} {ours}", processes=processes)
    rows = hooked.rows
    require([row["epoch"] for row in rows] == [0, 1], f"epochs {[row['epoch'] for row in rows]}")
    require(rows[0].keys() >= bare.rows[0].keys(), f"columns {list(rows[0])}")
    require(all(math.isfinite(value) for row in rows for value in row.values()), f"not finite: {rows}")
    require(hooked.files == bare.files, f"files {hooked.files}, wanted {bare.files}")
    same_keys(hooked, bare)
    apart(hooked, bare, by=1e-4)
    return hooked


def same_keys(a: Run, b: Run) -> None:
    """The newest checkpoints must have the same entries, keys, shapes and dtypes."""
    ours, theirs = a.checkpoint(), b.checkpoint()
    require(ours.keys() == theirs.keys(), f"checkpoint has {sorted(ours)}, wanted {sorted(theirs)}")
    for entry in ("state_dict", "state_dict_ema"):
        got, wanted = _layout(ours.get(entry, {})), _layout(theirs.get(entry, {}))
        require(got == wanted, f"{entry} differs: {sorted(set(got.items()) ^ set(wanted.items()), key=str)[:4]}")


def same_weights(a: Run, b: Run, within: float) -> None:
    """The newest checkpoints must have the same weights within a tolerance."""
    ours, theirs = a.checkpoint()["state_dict"], b.checkpoint()["state_dict"]
    largest = max((ours[key] - theirs[key]).abs().max().item() for key in theirs)
    require(largest <= within, f"weights differ by {largest:.1e}")


def says(run: Run, text: str) -> None:
    """The log must contain a text, in upper or lower case."""
    require(text.lower() in run.log.lower(), f"log does not say {text!r} [{run.place.name}]")


def _layout(state: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    return {key: (tuple(value.shape), str(value.dtype)) for key, value in state.items()}
