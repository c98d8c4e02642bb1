"""Calls that interfere with each other are found in threads and in tasks, but not one after another."""

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


def test_calls_one_by_one_do_not_interfere() -> None:
    tally = one_by_one(Shared(), LISTS, 5)
    assert (tally.calls, tally.wrong, tally.errors) == (20, Counter(), Counter())


def test_tasks_interfere_where_they_yield() -> None:
    tally = in_tasks(Shared(), LISTS, 5)
    assert tally.calls == 20
    assert tally.wrong["writing"] > 10


def test_each_thread_has_its_own_calls_and_errors_do_not_stop_it() -> None:
    modes = Modes()
    lists = [[Known(giving(1.0), WANTED)], [Known(giving(2.0), WANTED)], [Known(raising(ValueError), WANTED)]]
    tally = in_threads(Shared(), lists, 3, modes)
    assert (tally.calls, tally.wrong) == (9, Counter(made=3))
    assert tally.errors == Counter({"raising: ValueError: ": 3})


def test_the_switch_interval_is_restored() -> None:
    before = sys.getswitchinterval()
    with hasty(1e-6):
        assert sys.getswitchinterval() < before
    assert sys.getswitchinterval() == before
