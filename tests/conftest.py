"""Settings for all tests."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

# Tiny models gain nothing from threads, and threads are slow if other processes share the cores.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Seeds torch, so that a test does not depend on the order of tests or on the process."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
