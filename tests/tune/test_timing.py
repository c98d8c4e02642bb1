"""Steps are timed in turn, and their ratio has an interval that holds it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from timm_mergemix import MergeMixError
from timm_mergemix.tune import timing
from timm_mergemix.tune.timing import interleave, ratio_of

CPU = torch.device("cpu")


def test_steps_run_in_turn_and_back_and_warm_up_is_not_counted() -> None:
    ran: list[str] = []
    times = interleave({"a": lambda: ran.append("a"), "b": lambda: ran.append("b")}, 3, CPU, warmup=2)
    assert "".join(ran) == "abab" + "abbaab"
    assert {name: len(seconds) for name, seconds in times.items()} == {"a": 3, "b": 3}


def test_it_goes_on_for_as_long_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr(timing.time, "perf_counter", lambda: float(next(clock)))
    times = interleave({"a": lambda: None, "b": lambda: None}, 1, CPU, seconds=9, warmup=0)
    assert times == {"a": [1.0] * 5, "b": [1.0] * 5}  # a second each: five rounds are ten


def test_a_timing_of_no_rounds_is_refused() -> None:
    with pytest.raises(MergeMixError, match="rounds: got 0"):
        interleave({}, 0, CPU)


seconds = st.floats(0.1, 10)


@given(st.lists(st.tuples(seconds, seconds), min_size=1, max_size=30))
def test_the_interval_holds_the_ratio(pairs: list[tuple[float, float]]) -> None:
    above, below = zip(*pairs, strict=True)
    ratio = ratio_of(above, below)
    assert ratio.low <= ratio.high
    assert min(above) / max(below) <= ratio.low <= ratio.high <= max(above) / min(below) * (1 + 1e-9)


def test_equal_steps_have_ratio_one_whatever_the_machine_does() -> None:
    drifting = [1.0 + 0.1 * i for i in range(20)]
    assert ratio_of(drifting, drifting) == (1.0, 1.0, 1.0)
    assert str(ratio_of([2.0, 2.0], [1.0, 1.0])) == "2.000 (2.000 to 2.000)"


def test_more_rounds_narrow_the_interval() -> None:
    generator = torch.Generator().manual_seed(0)

    def width(count: int) -> float:
        times = (1 + 0.1 * torch.rand(2, count, generator=generator)).tolist()
        ratio = ratio_of(*times)
        return ratio.high - ratio.low

    assert width(400) < width(10)


def test_one_lucky_round_moves_neither_ratio_nor_interval() -> None:
    assert ratio_of([2.0] * 19 + [0.1], [1.0] * 20) == (2.0, 2.0, 2.0)
