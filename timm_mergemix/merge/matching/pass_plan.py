"""A merge plan in the form in which a forward pass makes and applies it, by few kernels."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..tracing import is_exporting, is_looked_into
from .plan import MergePlan, first, of_length

__all__ = ["PassPlan", "count_up", "keep_trailing", "make_plan", "merge_nothing", "plan_in_order", "shared_numbers"]


class PassPlan(NamedTuple):
    """Which of N tokens stay and which merge into them, as `MergePlan` says too.

    Kept and merged tokens are in one tensor, so that one gather takes the sizes of both. Targets are counted from the
    first token that may be one, so that a slice stands for an addition.

    Attributes:
        order: (B, N) int64, old positions: first of the tokens that stay, in their new order, then of those that merge.
        partner: (B, r) int64, what each of those merges into, counted from ``start``.
        start: How many of the tokens that stay are before the first that others may merge into.
        numbers: See `shared_numbers`.
    """

    order: Tensor
    partner: Tensor
    start: int = 0
    numbers: Tensor | None = None

    @classmethod
    def of(cls, plan: MergePlan) -> PassPlan:
        """The plan of a user."""
        return cls(torch.cat([plan.keep, plan.source], dim=1), plan.target)

    def kept(self) -> int:
        """How many tokens stay, N - r."""
        return self.order.shape[1] - self.partner.shape[1]

    def parts(self) -> tuple[Tensor, Tensor]:
        """Old positions of the tokens that stay (B, N - r), and of those that merge (B, r)."""
        return first(self.order, self.kept())

    def targets_in(self, kept: Tensor) -> Tensor:
        """Those that others may merge into, of kept tokens (B, N - r, C) or sizes (B, N - r), which share memory."""
        return kept.narrow(1, self.start, kept.shape[1] - self.start) if self.start else kept

    def target(self) -> Tensor:
        """New positions of what the tokens merge into: (B, r)."""
        return self.partner + self.start if self.start else self.partner

    def public(self) -> MergePlan:
        """The same plan as users get it."""
        return MergePlan(*self.parts(), self.target())


def shared_numbers(x: Tensor) -> Tensor | None:
    """0, 1, 2, ... for all blocks of a pass: as many as there are tokens, or rows of the batch if there are more.

    None where a compiler or an exporter looks on: it would fix their number.

    Args:
        x: (B, N, C), the tokens that enter the first block.
    """
    return None if is_looked_into(x) else torch.arange(max(x.shape[:2]), device=x.device)


def count_up(count: int, like: Tensor, numbers: Tensor | None) -> Tensor:
    """0, 1, ..., ``count`` - 1 on the device of a tensor, from the numbers of the pass where it has them."""
    return torch.arange(count, device=like.device) if numbers is None else numbers[:count]


def make_plan(order: Tensor, partner: Tensor, start: int, numbers: Tensor | None) -> PassPlan:
    """The plan. Its targets are counted from ``start`` where the addition would be a kernel in a pass.

    A slice takes the CPU as long, and those of exporters should not depend on r.
    """
    if numbers is None or numbers.device.type == "cpu":
        return PassPlan(order, partner + start, 0, numbers)
    return PassPlan(order, partner, start, numbers)


def plan_in_order(
    prefix_tokens: int, stay: Tensor, source: Tensor, partner: Tensor, numbers: Tensor | None = None
) -> PassPlan:
    """The plan whose kept tokens stand in their old order.

    Args:
        prefix_tokens: Leading tokens, which stay.
        stay: (B, K) int64, old positions of the others that stay, in their order.
        source: (B, r) int64, old positions of the tokens that merge, each once.
        partner: (B, r) int64, old positions of the tokens that they merge into.
        numbers: See `shared_numbers`.
    """
    if is_exporting():
        partner = (stay.unsqueeze(1) < partner.unsqueeze(2)).sum(dim=-1)
    else:
        partner = torch.searchsorted(stay, partner)
    return make_plan(prefix_first(prefix_tokens, stay, source, numbers), partner, prefix_tokens, numbers)


def prefix_first(prefix_tokens: int, stay: Tensor, source: Tensor, numbers: Tensor | None = None) -> Tensor:
    """The `PassPlan.order` of tokens of which the prefix and those given stay; arguments as for `plan_in_order`."""
    prefix = count_up(prefix_tokens, stay, numbers).expand(stay.shape[0], -1)
    order = torch.cat([prefix, stay, source], dim=1)
    return of_length(order, prefix_tokens + stay.shape[1] + source.shape[1])


def merge_nothing(keys: Tensor) -> PassPlan:
    """The plan by which all tokens of (B, N, D) keys stay."""
    order = torch.arange(keys.shape[1], device=keys.device).expand(keys.shape[0], -1)
    return PassPlan(order, order[:, :0])


def keep_trailing(plan: PassPlan, count: int) -> PassPlan:
    """The same plan for a sequence that has ``count`` more tokens at its end, all of which stay."""
    keep, source = plan.parts()
    batch, length = plan.order.shape
    trailing = count_up(length + count, keep, plan.numbers)[length:].expand(batch, -1)
    return PassPlan(torch.cat([keep, trailing, source], dim=1), plan.partner, plan.start, plan.numbers)
