"""Calls that disturb each other are found in threads and in tasks, and not one after another."""

from __future__ import annotations

import sys
from collections import Counter

import torch

from tools.stress.modes import Modes
from tools.stress.tally import Known
from tools.stress.together import hasty, in_tasks, in_threads, one_by_one

from .made import Shared, giving, raising, writing

LISTS = [[writing(number)] for number in range(4)]
WANTED = [torch.tensor([1.0])]


def test_one_by_one_nothing_disturbs() -> None:
    tally = one_by_one(Shared(), LISTS, 5)
    assert (tally.calls, tally.wrong, tally.errors) == (20, Counter(), Counter())


def test_tasks_disturb_each_other_where_they_yield() -> None:
    tally = in_tasks(Shared(), LISTS, 5)
    assert tally.calls == 20
    assert tally.wrong["writing"] > 10


def test_threads_have_each_their_own_calls_and_errors_stop_none() -> None:
    modes = Modes()
    lists = [[Known(giving(1.0), WANTED)], [Known(giving(2.0), WANTED)], [Known(raising(ValueError), WANTED)]]
    tally = in_threads(Shared(), lists, 3, modes)
    assert (tally.calls, tally.wrong) == (9, Counter(made=3))
    assert tally.errors == Counter({"raising: ValueError: ": 3})


def test_the_interval_comes_back() -> None:
    before = sys.getswitchinterval()
    with hasty(1e-6):
        assert sys.getswitchinterval() < before
    assert sys.getswitchinterval() == before
