"""What a matching gives, and what all matchings share: their checks, the similarity, the place of padding."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import check_int, check_number, check_tensor, wrong
from ..autocast import without_autocast
from ..tracing import has_stable_sort, is_symbol, token_count

__all__ = [
    "MergePlan",
    "check",
    "check_range",
    "cosine",
    "first",
    "keep_trailing",
    "merge_nothing",
    "of_length",
    "plan_in_order",
    "prefer_padding",
    "strongest_first",
    "take_rows",
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


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosine similarity of (B, R, D) and (B, C, D) keys: (B, R, C) float32, under autocast too."""
    with without_autocast(a.device.type):
        return F.normalize(a.float(), dim=-1) @ F.normalize(b.float(), dim=-1).transpose(1, 2)


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
    if has_stable_sort():
        return values.argsort(dim=-1, descending=True, stable=True)
    return values.argsort(dim=-1, descending=True)


def take_rows(values: Tensor, index: Tensor) -> Tensor:
    """The rows of (B, N, D) values at (B, K) positions: (B, K, D)."""
    return values.gather(1, index.unsqueeze(-1).expand(-1, -1, values.shape[2]))


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


def plan_in_order(length: int, source: Tensor, partner: Tensor) -> MergePlan:
    """The plan whose kept tokens stand in their old order.

    Args:
        length: Number of tokens, N.
        source: (B, r) int64, old positions of the tokens that merge, each once.
        partner: (B, r) int64, old positions of the tokens that they merge into.
    """
    batch, r = source.shape
    stays = torch.ones(batch, length, dtype=torch.int64, device=source.device).scatter(1, source, 0)
    if has_stable_sort():
        order = strongest_first(stays)
    else:
        order = torch.arange(length, device=source.device).where(stays > 0, length).sort(dim=1).values
    keep, _ = first(order, length - r)
    return MergePlan(keep, source, (stays.cumsum(dim=1) - 1).gather(1, partner))


def merge_nothing(keys: Tensor) -> MergePlan:
    """The plan by which all tokens of (B, N, D) keys stay."""
    none = torch.zeros(keys.shape[0], 0, dtype=torch.int64, device=keys.device)
    return plan_in_order(keys.shape[1], none, none)


def keep_trailing(plan: MergePlan, count: int) -> MergePlan:
    """The same plan for a sequence that has ``count`` more tokens at its end, all of which stay."""
    batch, kept = plan.keep.shape
    length = kept + plan.source.shape[1]
    trailing = torch.arange(length, length + count, device=plan.keep.device).expand(batch, -1)
    return MergePlan(torch.cat([plan.keep, trailing], dim=1), plan.source, plan.target)
