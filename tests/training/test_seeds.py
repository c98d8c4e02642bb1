"""One seed determines the generators of torch, NumPy and Python."""

import random

import numpy as np
import torch

from timm_mergemix.training.seeds import seed_all


def draw() -> tuple[float, float, float]:
    return torch.rand(()).item(), float(np.random.rand()), random.random()


def test_all_generators_follow_the_key() -> None:
    seed_all(3, 1)
    first = draw()
    later = draw()
    seed_all(3, 1)
    assert draw() == first != later
    for other in ((3, 2), (4, 1), (1, 3)):
        seed_all(*other)
        assert all(a != b for a, b in zip(draw(), first, strict=True))
