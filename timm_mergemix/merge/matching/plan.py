"""What a matching gives, and what all matchings share: their checks, the order of merges, the place of padding."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ...errors import check_int, check_number, check_tensor, wrong
from ..tracing import is_exporting, is_symbol, token_count

__all__ = [
    "MergePlan",
    "check",
    "check_range",
    "first",
    "of_length",
    "prefer_padding",
    "strongest_first",
]


class MergePlan(NamedTuple):
    """Which of N tokens stay and which merge into them. All tensors are int64.

    Attributes:
        keep: (B, N - r), old positions of the tokens that stay, in their new order.
        source: (B, r), old positions of the tokens that merge.
        target: (B, r), new positions of the tokens that they merge into.
    """

    keep: Tensor
    source: Tensor
    target: Tensor


def check(keys: Tensor, r: int, prefix_tokens: int, padding: Tensor | None) -> None:
    """Raises unless ``r`` of the tokens can merge.

    Raises:
        MergeMixError: If the keys are not floats of shape (B, N, D), the padding is not bool of shape (B, N), or more
            than half of the unprotected tokens are to merge.
    """
    check_tensor("keys", keys, "BND", "float")
    check_int("prefix_tokens", prefix_tokens, 0)
    if not is_symbol(r):  # for a symbol, the schedule has seen to it
        check_int("r", r, 0)
        most = max(token_count(keys) - prefix_tokens, 0) // 2
        if r > most:
            raise wrong("r", r, f"at most {most}, half of the unprotected tokens")
    if padding is not None:
        check_tensor("padding", padding, tuple(keys.shape[:2]), "bool", like=keys)


def check_range(argument: str, value: float, low: float, high: float) -> None:
    """``check_number`` for a number that ``torch.compile`` may have made a symbol, which ``math.isfinite`` refuses."""
    if type(value) not in (int, float) or not low <= value <= high:
        check_number(argument, value, low, high)


def first(index: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The first ``count`` columns of (B, K), and the others. Unlike a slice it gives an exporter their exact sizes."""
    head, rest = index.split([count, index.shape[1] - count], dim=1)
    return head, rest


def of_length(index: Tensor, length: int) -> Tensor:
    """The (B, K) positions themselves, K being ``length``.

    Where an exporter knows K as a sum of halves, it would carry that sum on into every later block, twice as long in
    each; positions that are gathered by a range have its length, so the time of an export grows with the depth alone.
    """
    if not is_symbol(length):
        return index.reshape(index.shape[0], length)
    return index.gather(1, torch.arange(length, device=index.device).expand(index.shape[0], -1))


def strongest_first(values: Tensor) -> Tensor:
    """The positions of (B, K) values by falling value; among equals the first comes first, on every device."""
    if is_exporting():
        return values.argsort(dim=-1, descending=True)
    return values.argsort(dim=-1, descending=True, stable=True)


def prefer_padding(scores: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Puts edges of two padding tokens above all others, and edges of padding and a patch below.

    Args:
        scores: (B, R, C) cosines.
        rows: (B, R) bool, True for padding.
        columns: (B, C) bool, True for padding.

    Returns:
        (B, R, C): cosines as they were between patches, in [3, 5] between padding, in [-5, -3] between both kinds.
    """
    rows, columns = rows[:, :, None], columns[:, None]
    return scores + torch.where(rows == columns, 4.0 * rows, -4.0)
