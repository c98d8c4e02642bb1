"""Rows of tokens by their positions, in the way that is fastest on each device."""

from __future__ import annotations

import torch
from torch import Tensor

from .pass_plan import count_up

__all__ = ["flat_index", "gathers_rows", "take_rows"]


def gathers_rows(values: Tensor) -> bool:
    """Whether rows are gathered, rather than selected from one sequence of all rows of the batch.

    To gather takes fewer kernels on an accelerator, but a gradient would keep all of ``values`` for it. The CPU gathers
    number by number, which takes ten times as long as whole rows.
    """
    return values.device.type != "cpu" and not torch.is_grad_enabled()


def take_rows(values: Tensor, index: Tensor, numbers: Tensor | None = None) -> Tensor:
    """The rows of values (B, N, D) at positions (B, K): (B, K, D).

    Args:
        values: (B, N, D).
        index: (B, K) int64.
        numbers: See `shared_numbers`.
    """
    if gathers_rows(values):
        return values.gather(1, index.unsqueeze(-1).expand(-1, -1, values.shape[2]))
    samples = count_up(index.shape[0], index, numbers).unsqueeze(1)
    rows = values.flatten(0, 1).index_select(0, flat_index(index, values.shape[1], samples))
    return rows.reshape(*index.shape, values.shape[2])


def flat_index(index: Tensor, length: int, samples: Tensor) -> Tensor:
    """Positions in sequences of that length, as positions in one sequence of all rows of the batch.

    Args:
        index: (B, K) int64.
        length: Length of the sequences.
        samples: (B, 1) int64, 0 to B - 1.

    Returns:
        (B K,) int64.
    """
    return torch.add(index, samples, alpha=length).flatten()
