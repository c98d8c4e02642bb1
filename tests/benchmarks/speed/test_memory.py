"""Memory that a step keeps for its backward pass is counted once."""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.speed.memory import memory_of


def test_saved_tensors_count_once_and_parameters_do_not_count() -> None:
    model, images = nn.Linear(10, 20), torch.rand(5, 10)
    # The linear layer saves its input, and each tanh saves its output.
    floats = images.numel() + 2 * 5 * 20
    assert memory_of(lambda: model(images).tanh().tanh().sum(), model) == 4 * floats


def test_more_images_need_more() -> None:
    model = nn.Sequential(nn.Linear(10, 20), nn.GELU(), nn.Linear(20, 20))
    one, two = (memory_of(lambda n=n: model(torch.rand(n, 10)).sum(), model) for n in (4, 8))
    assert two == 2 * one
