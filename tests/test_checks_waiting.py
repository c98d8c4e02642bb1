"""A check of values that passes reads one of them: whether all are as they should be."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from benchmarks.gpu.counting import count
from timm_mergemix import MergeMixError, checks

CHECKS: dict[str, Callable[[], None]] = {
    "share": lambda: checks.check_share("x", torch.rand(4)),
    "weights": lambda: checks.check_weights("x", torch.rand(4)),
    "classes": lambda: checks.check_classes("x", torch.arange(4), 5),
    "range": lambda: checks.check_range("x", torch.arange(4), 0, 3),
    "rows": lambda: checks.check_rows("x", torch.eye(4), multi_label=True),
}


@pytest.mark.parametrize("name", CHECKS)
def test_the_host_waits_once(name: str) -> None:
    assert count(CHECKS[name], host="meta").waits == {"_local_scalar_dense": 1}


@pytest.mark.parametrize("transform", [torch.func.grad, torch.func.jacrev, torch.func.functionalize])
def test_values_are_checked_inside_transforms_of_functions(transform: Callable[..., Callable[..., object]]) -> None:
    def total(x: torch.Tensor) -> torch.Tensor:
        checks.check_share("x", x)
        checks.check_weights("x", x)
        return x.sum()

    transform(total)(torch.rand(4))
    with pytest.raises(MergeMixError, match=r"^x: got numbers from"):
        transform(total)(torch.tensor([0.0, 2.0]))
