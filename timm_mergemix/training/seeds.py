"""All generators of the process, seeded from a few integers."""

from __future__ import annotations

import random

import numpy as np
import torch

__all__ = ["seed_all"]


def seed_all(*key: int) -> None:
    """Seeds torch's, NumPy's and Python's generators.

    An epoch that begins with ``seed_all(seed, epoch)`` is the same whether or not the run was interrupted before it, so
    checkpoints need no generator states. All three are needed: timm's image transforms draw from Python's generator and
    its Mixup from NumPy's. Data loader workers take their seeds from torch's.

    Args:
        *key: Non-negative integers; different keys give unrelated states.
    """
    torch_seed, numpy_seed, python_seed = np.random.SeedSequence(key).generate_state(3)
    torch.manual_seed(int(torch_seed))
    np.random.seed(int(numpy_seed))
    random.seed(int(python_seed))
