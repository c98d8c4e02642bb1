"""A training forward pass in eval mode is counted, whatever changed the mode, but only in the training thread."""

from __future__ import annotations

from threading import Thread

import torch
from torch import nn

from tools.stress.modes import Modes


def watched_model(modes: Modes) -> nn.Sequential:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    modes.watch(model)
    return model


def test_a_forward_pass_with_modules_in_eval_mode_counts_once() -> None:
    modes = Modes()
    model = watched_model(modes)
    with modes.watched():
        model(torch.zeros(1, 2))
    assert modes.evaluated == 0
    model.eval()
    for _ in range(2):
        with modes.watched():
            model(torch.zeros(1, 2))
    assert modes.evaluated == 2
    model.train()
    model[1].eval()
    with modes.watched():
        model(torch.zeros(1, 2))
    assert modes.evaluated == 3


def test_passes_outside_of_the_watched_block_do_not_count() -> None:
    modes = Modes()
    model = watched_model(modes).eval()
    model(torch.zeros(1, 2))
    with modes.watched(False):
        model(torch.zeros(1, 2))
    assert modes.evaluated == 0


def test_forward_passes_of_other_threads_do_not_count() -> None:
    modes = Modes()
    model = watched_model(modes).eval()
    thread = Thread(target=model, args=(torch.zeros(1, 2),))
    with modes.watched():
        thread.start()
        thread.join()
    assert modes.evaluated == 0
