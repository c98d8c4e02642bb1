"""What a call costs an accelerator is counted: kernels, waits, copies, and masks that are copied."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.gpu.counting import count, is_aligned

X = torch.zeros(4, 4, device="meta")
INDEX = torch.zeros(4, dtype=torch.int64, device="meta")


@pytest.mark.parametrize(
    ("call", "kernels"),
    [
        (lambda: X.view(16).unsqueeze(0)[:, 2:].t().expand(14, 3), 0),
        (lambda: torch.empty(3, device="meta"), 0),
        (lambda: torch.zeros(3, device="meta"), 1),
        (lambda: (X + 1).mul_(2), 2),
        (lambda: X.bfloat16(), 1),
        (lambda: X[INDEX], 1),
        (lambda: torch.ones(3) + 1, 0),  # on the host
    ],
)
def test_kernels_are_what_computes(call: Callable[[], object], kernels: int) -> None:
    counts = count(call)
    assert (counts.launched, counts.synchronisations, counts.copies) == (kernels, 0, [])


@pytest.mark.parametrize(
    "call",
    [
        lambda: X.sum().item(),
        lambda: bool(X.any()),
        lambda: X.nonzero(),
        lambda: X[X > 0],
        lambda: X.cpu(),
        lambda: torch.equal(X, X),
        lambda: X.unique(),
        lambda: X.masked_select(X > 0),
    ],
)
def test_a_value_that_is_read_is_a_wait(call: Callable[[], object]) -> None:
    """Without values torch refuses some of these, which is as good."""
    try:
        counts = count(call)
    except (RuntimeError, NotImplementedError):
        return
    assert counts.synchronisations


@pytest.mark.parametrize(
    "call",
    [
        lambda: torch.ones(3).to("meta"),
        lambda: torch.tensor([1, 2], device="meta"),
        lambda: X.new_tensor([1.0]),
        lambda: torch.as_tensor([1.0], device="meta"),
        lambda: X.copy_(torch.ones(4, 4)),
    ],
)
def test_a_copy_from_the_host_is_a_wait(call: Callable[[], object]) -> None:
    assert count(call).synchronisations == 1


def test_a_copy_that_runs_beside_the_host_is_none() -> None:
    def call() -> None:
        _ = X + 1
        torch.ones(3).to("meta", non_blocking=True)

    counts = count(call)
    assert counts.synchronisations == 0
    assert [tuple(copy) for copy in counts.copies] == [(3, True, 1)]


@pytest.mark.parametrize("aligned", [True, False])
def test_an_attention_is_one_kernel_each_way_and_copies_a_mask_that_is_not_aligned(aligned: bool) -> None:
    heads = [torch.zeros(2, 3, 5, 4, device="meta", requires_grad=True) for _ in range(3)]
    mask = torch.zeros(2, 1, 1, 8 if aligned else 5, device="meta")[..., :5]

    def call() -> Tensor:
        return F.scaled_dot_product_attention(*heads, attn_mask=mask)

    counts = count(call)
    assert is_aligned(mask) is aligned
    assert (counts.launched, counts.copied_masks) == (1 + (not aligned), not aligned)
    whole = count(lambda: call().backward(torch.zeros(2, 3, 5, 4, device="meta")))
    assert whole.kernels["attention"] == whole.kernels["attention backward"] == 1


def test_a_call_on_the_cpu_counts_with_another_host() -> None:
    assert count(lambda: torch.ones(3) + 1, host="none").launched == 2
