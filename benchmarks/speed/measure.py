"""Measures the rows of the table."""

from __future__ import annotations

import gc
import statistics
from typing import Any, NamedTuple

import torch

from timm_mergemix.tune.timing import Ratio, interleave, ratio_of

from ..records import Record
from .memory import memory_of
from .row import Comparison, Row
from .steps import Setting, loss_of, make_models

__all__ = ["Result", "measure", "measure_memory"]


class Result(NamedTuple):
    """The result of one comparison.

    Attributes:
        row: Name of the row.
        above: Name of the step in the numerator.
        below: Name of the step in the denominator.
        wanted: The ratio to reach; None if there is no goal.
        ratio: The measured ratio.
        amounts: Median seconds of both steps, or bytes.
        unit: ``"s"`` or ``"bytes"``.
    """

    row: str
    above: str
    below: str
    wanted: float | None
    ratio: Ratio
    amounts: tuple[float, float]
    unit: str = "s"

    @classmethod
    def of(cls, record: Record) -> Result:
        """Reads a result from its record."""
        ratio, amounts = Ratio(*record["ratio"]), tuple(record["amounts"])
        return cls(**{name: record[name] for name in cls._fields} | {"ratio": ratio, "amounts": amounts})

    @property
    def reached(self) -> bool | None:
        """Whether the ratio reaches its goal; None if there is no goal."""
        return None if self.wanted is None else round(self.ratio.value, 3) <= self.wanted

    def as_dict(self) -> dict[str, Any]:
        """The result as values for JSON."""
        return {**self._asdict(), "ratio": self.ratio._asdict(), "reached": self.reached}


def measure(row: Row, rounds: int, device: torch.device, seconds: float) -> list[Result]:
    """Times the steps of a row in turn.

    Args:
        row: The row to measure.
        rounds: Minimum number of rounds.
        device: The device on which steps run.
        seconds: Minimum duration in seconds.
    """
    steps = row.make()
    times = interleave(steps, rounds, device, seconds)
    steps.clear()
    gc.collect()  # frees the models of this row before those of the next one are built
    return [_result(row.name, comparison, times) for comparison in row.comparisons]


def _result(name: str, comparison: Comparison, times: dict[str, list[float]]) -> Result:
    above, below, wanted = comparison
    amounts = statistics.median(times[above]), statistics.median(times[below])
    return Result(name, above, below, wanted, ratio_of(times[above], times[below]), amounts)


def measure_memory(name: str, setting: Setting, wanted: float | None) -> Result:
    """The memory kept by a merged training step over that of an unpatched one, which is an exact count."""
    amounts = [_memory(setting, name) for name in ("merged", "unpatched")]
    value = amounts[0] / amounts[1]
    return Result(name, "merged", "unpatched", wanted, Ratio(value, value, value), (amounts[0], amounts[1]), "bytes")


def _memory(setting: Setting, name: str) -> int:
    # The other models are freed by then, because on an accelerator everything that is allocated counts.
    model = make_models(setting, training=True)[name]
    gc.collect()
    return memory_of(loss_of(setting, model), model)
