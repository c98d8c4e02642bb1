"""Interleaved timing, and ratios of medians with their intervals."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch

from ..errors import check_int

__all__ = ["Ratio", "Step", "interleave", "ratio_of"]

Step = Callable[[], object]
Times = dict[str, list[float]]

RESAMPLES = 2000


class Ratio(NamedTuple):
    """A ratio of medians.

    Attributes:
        value: Median of the one over median of the other.
        low: Lower end of its 95 % interval.
        high: Upper end.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def interleave(
    steps: Mapping[str, Step], rounds: int, device: torch.device, seconds: float = 0.0, warmup: int = 2
) -> Times:
    """Runs all steps in turn, round after round, so that a drift of the machine meets all of them alike.

    Every second round runs backwards, so that no step always follows the same one.

    Args:
        steps: What to time, by name.
        rounds: How often, at least.
        device: Where the steps run; it is waited for.
        seconds: Goes on for more rounds until this much time was measured.
        warmup: Rounds before these, which are not counted.

    Returns:
        For each name the seconds of each round.
    """
    check_int("rounds", rounds, 1)
    times: Times = {name: [] for name in steps}
    for _ in range(warmup):
        for step in steps.values():
            step()
    measured = done = 0.0
    order = list(steps)
    while done < rounds or measured < seconds:
        for name in order:
            times[name].append(_time(steps[name], device))
            measured += times[name][-1]
        order.reverse()
        done += 1
    return times


def _time(step: Step, device: torch.device) -> float:
    _wait(device)
    start = time.perf_counter()
    step()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def ratio_of(times: Sequence[float], base: Sequence[float]) -> Ratio:
    """The ratio of two medians with a 95 % interval: the bootstrap over rounds, which keeps a round's steps together.

    Args:
        times: Seconds of each round.
        base: Seconds of the other step in the same rounds.
    """
    draws = torch.randint(len(times), (RESAMPLES, len(times)), generator=torch.Generator().manual_seed(0))
    above, below = torch.tensor([list(times), list(base)], dtype=torch.float64)[:, draws].quantile(0.5, dim=-1)
    low, high = (above / below).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return Ratio(statistics.median(times) / statistics.median(base), low, high)
