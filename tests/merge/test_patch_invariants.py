"""The invariants of merging hold for blocks that know positions in each way, and for wrapped and changed models."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import timm_mergemix as mm
from timm_mergemix.testing import check_patched

from ..models import tiny
from .families.cases import BUILDERS, images


@pytest.mark.parametrize("case", ["vit", "eva", "rope", "beit", "relpos", "naflex", "cait", "torchvision"])
def test_they_hold_for_a_family(case: str) -> None:
    model = BUILDERS[case]()
    check_patched(model, images(model, 3), examples=4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_they_hold_in_other_precisions(dtype: torch.dtype) -> None:
    # In bfloat16 a batch rounds otherwise than its images one by one, and so other tokens may merge.
    without = ("each image merges by itself",) if dtype == torch.bfloat16 else ()
    check_patched(tiny().to(dtype), examples=4, without=without)


def test_they_hold_inside_a_wrapper_and_for_a_model_that_was_patched() -> None:
    check_patched(nn.Sequential(mm.patch(tiny(), 3)), torch.rand(2, 3, 64, 64), examples=4)


def test_they_hold_beside_adapters_between_the_blocks() -> None:
    class Adapter(nn.Module):
        def __init__(self, block: nn.Module) -> None:
            super().__init__()
            self.block = block

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.block(x) + 0.1

    class Adapted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = tiny()
            self.adapters = [0.1, 0.2, 0.3]
            for block, shift in zip(self.model.blocks, self.adapters, strict=True):
                block.register_forward_hook(lambda _, given, made, shift=shift: made + shift)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.model(x)

    check_patched(Adapted(), torch.rand(2, 3, 64, 64), examples=4, adapters=True)
