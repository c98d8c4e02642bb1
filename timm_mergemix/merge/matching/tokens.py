"""A merge plan applied: tokens, sizes and the source map, and the way back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..tracing import is_looked_into, writes_onnx
from .pass_plan import PassPlan, count_up
from .plan import first
from .rows import flat_index, gathers_rows, take_rows

__all__ = ["compose_source", "log_size_bias", "members", "merge_tokens", "places", "recover"]


def recover(values: Tensor, source: Tensor) -> Tensor:
    """`timm_mergemix.functional.recover` without its checks, for the forward pass."""
    return values.gather(1, source) if values.ndim == 2 else take_rows(values, source)


def merge_tokens(
    x: Tensor, plan: PassPlan, size: Tensor | None = None, padded: bool = True, place: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """`timm_mergemix.functional.merge_tokens` without its checks, for the forward pass.

    Args:
        x: (B, N, C).
        plan: Which tokens merge.
        size: (B, N) float32; None if each token stands for one patch.
        padded: Whether sizes may be 0.
        place: The `places` of the plan, where they are known.
    """
    if size is None:
        padded = False
    if has_short_gradient(x, size, padded):
        return merge_placed(x, plan, size, places(plan) if place is None else place)
    total, joining, whole = merge_sizes(x, plan, size)
    whole = whole.clamp_min(1.0) if padded else whole  # padding has no share
    return merge_rows(x, plan, divide(joining, whole, x.dtype)), total


def merge_sizes(x: Tensor, plan: PassPlan, size: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Sizes of the tokens after the merge (B, N - r), of those that merge (B, r), and of what they are in then (B, r).

    Arguments as for `merge_tokens`.
    """
    sizes = ones(x) if size is None else size.gather(1, plan.order)
    total, joining = first(sizes, plan.kept())
    if writes_onnx():
        total = total + (members(plan.target(), plan.kept()) @ joining.unsqueeze(-1)).squeeze(-1)
    elif sizes.requires_grad:
        total = total.scatter_add(1, plan.target(), joining)
    else:
        plan.targets_in(total).scatter_add_(1, plan.partner, joining)
    return total, joining, plan.targets_in(total).gather(1, plan.partner)


def ones(x: Tensor) -> Tensor:
    """The sizes of tokens that stand for one patch each: (B, N) float32."""
    return torch.ones(x.shape[:2], dtype=torch.float32, device=x.device)


def divide(part: Tensor, whole: Tensor, dtype: torch.dtype) -> Tensor:
    """Shares (B, K) of sizes in others, in the dtype of tokens."""
    wide = torch.promote_types(dtype, part.dtype)  # 1 / 3 in float32 is too coarse for float64
    return (part.to(wide) / whole.to(wide)).to(dtype)


def merge_rows(x: Tensor, plan: PassPlan, share: Tensor) -> Tensor:
    """The tokens (B, N - r, C) that `merge_tokens` returns.

    The mean is a step from the target towards what joins it: only r rows are touched, the others not by a bit. Under
    ``torch.use_deterministic_algorithms(True)`` torch adds up in one order on CUDA too.

    Args:
        x: (B, N, C).
        plan: Which tokens merge.
        share: (B, r), how much of its target each of those that merge becomes.
    """
    return merge_gathered(x, plan, share) if gathers_rows(x) else merge_flat(x, plan, share)


def merge_gathered(x: Tensor, plan: PassPlan, share: Tensor) -> Tensor:
    """`merge_rows` by few kernels, where no gradient is recorded: a gather would keep all of ``x`` for it."""
    keep, source, partner = (index.unsqueeze(-1).expand(-1, -1, x.shape[2]) for index in (*plan.parts(), plan.partner))
    kept, joining = x.gather(1, keep), x.gather(1, source)
    targets = plan.targets_in(kept)
    targets.scatter_add_(1, partner, (joining - targets.gather(1, partner)) * share.unsqueeze(-1))
    return kept


def merge_flat(x: Tensor, plan: PassPlan, share: Tensor) -> Tensor:
    """`merge_rows` in one sequence of all rows of the batch, of which whole rows are copied."""
    rows, (keep, source), target = x.flatten(0, 1), plan.parts(), plan.target()
    samples = count_up(x.shape[0], x, plan.numbers).unsqueeze(1)
    into = flat_index(target, keep.shape[1], samples)
    kept = rows.index_select(0, flat_index(keep, x.shape[1], samples))
    joining = rows.index_select(0, flat_index(source, x.shape[1], samples))
    step = (joining - kept.index_select(0, into)) * share.flatten().unsqueeze(-1)
    if writes_onnx():
        steps = step.reshape(*source.shape, x.shape[2])
        return kept.reshape(*keep.shape, x.shape[2]) + members(target, keep.shape[1]).to(x.dtype) @ steps
    return kept.index_add_(0, into, step).reshape(*keep.shape, x.shape[2])


def has_short_gradient(x: Tensor, size: Tensor | None, padded: bool) -> bool:
    """Whether `MergeRows` may stand for `merge_rows`: in an eager backward pass, which nothing else looks into."""
    if padded or not (x.requires_grad and torch.is_grad_enabled()) or (size is not None and size.requires_grad):
        return False
    return not is_looked_into(x)


def merge_placed(x: Tensor, plan: PassPlan, size: Tensor | None, place: Tensor) -> tuple[Tensor, Tensor]:
    """`merge_tokens` where a gradient is wanted; by the places, shares are known of all tokens, as that needs them."""
    size = ones(x) if size is None else size
    total = size.new_zeros(x.shape[0], plan.kept()).scatter_add_(1, place, size)
    share = divide(size, total.gather(1, place), x.dtype)
    return MergeRows.apply(x, share, place, *plan), total


class MergeRows(torch.autograd.Function):
    """`merge_rows` with its gradient in one piece: each token gets its share of its target's gradient.

    That takes a fraction of the kernels that the gradients of the single steps take, and adds up nothing.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        share: Tensor,
        place: Tensor,
        order: Tensor,
        partner: Tensor,
        start: int,
        numbers: Tensor | None,
    ) -> Tensor:
        ctx.save_for_backward(share, place)
        plan = PassPlan(order, partner, start, numbers)
        return merge_rows(x, plan, share.gather(1, plan.parts()[1]))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        share, place = ctx.saved_tensors
        return take_rows(grad, place) * share.unsqueeze(-1), None, None, None, None, None, None


def members(index: Tensor, length: int) -> Tensor:
    """Which of K entries belong to each of ``length`` tokens, as ones and zeros: (B, length, K) float32.

    Its product with the entries adds them up. ONNX's tracing exporter needs that: it writes ``index_add``, and with
    opsets before 16 ``scatter_add`` too, so that only the last entry of a token counts.

    Args:
        index: (B, K) int64, the token of each entry.
        length: Number of tokens.
    """
    return (index.unsqueeze(1) == torch.arange(length, device=index.device).unsqueeze(1)).float()


def compose_source(place: Tensor, source: Tensor | None = None) -> Tensor:
    """`timm_mergemix.functional.compose_source` of the `places` of a plan, without its checks."""
    return place if source is None else place.gather(1, source)


def places(plan: PassPlan) -> Tensor:
    """The new position of each old token: (B, N) int64."""
    keep, source = plan.parts()
    place = torch.empty_like(plan.order, memory_format=torch.contiguous_format)
    place.scatter_(1, keep, count_up(plan.kept(), keep, plan.numbers).expand(keep.shape[0], -1))
    return place.scatter_(1, source, plan.target())


def log_size_bias(
    size: Tensor | None, dtype: torch.dtype, proportional: bool = True, padded: bool = True
) -> Tensor | None:
    """`timm_mergemix.functional.log_size_bias` without its checks, for the forward pass.

    Args:
        size: (B, N) float32, or None.
        dtype: dtype of the attention's input.
        proportional: False lets each token count once.
        padded: Whether sizes may be 0.
    """
    if size is None:
        return None
    counts = (size if proportional else size.clamp_max(1.0))[:, None, None]
    if size.requires_grad or is_looked_into(size):  # a compiler aligns a mask by itself
        bias = counts.log().to(dtype)
    else:
        bias = torch.log(counts, out=_aligned(counts, dtype))
    return bias.clamp_min(torch.finfo(dtype).min) if padded else bias


def _aligned(like: Tensor, dtype: torch.dtype) -> Tensor:
    """An empty mask of that shape with strides that are multiples of 8: a fused attention on CUDA copies any other."""
    *leading, length = like.shape
    return torch.empty(*leading, -(-length // 8) * 8, dtype=dtype, device=like.device)[..., :length]
