"""The device and the CPU threads that the options select."""

import pytest
import torch

from timm_mergemix import MergeMixError
from timm_mergemix.cli.device import choose_device, cpu_threads


def test_devices() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cpu", "cuda")
    for name in ("abacus", "cuda:99", "meta"):
        with pytest.raises(MergeMixError, match="device: '"):
            choose_device(name)
    for seed in (-1, 99999999999999999999):
        with pytest.raises(MergeMixError, match=f"seed: got {seed}, wanted an integer >= 0"):
            choose_device("cpu", seed=seed)


def test_threads() -> None:
    before = torch.get_num_threads()
    with cpu_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with pytest.raises(MergeMixError, match="threads: got 0"), cpu_threads(0):
        pass
