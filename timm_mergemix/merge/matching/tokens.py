"""A merge plan applied: tokens, sizes and the source map, and the way back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._C import _functorch as functorch
from torch.autograd.forward_ad import unpack_dual
from torch.jit import is_tracing  # type: ignore[attr-defined]

from ..tracing import writes_onnx
from .plan import MergePlan, take_rows

__all__ = ["compose_source", "log_size_bias", "members", "merge_tokens", "recover"]


def recover(values: Tensor, source: Tensor) -> Tensor:
    """`timm_mergemix.functional.recover` without its checks, for the forward pass."""
    if values.ndim == 2:
        return values.gather(1, source)
    rows = values.flatten(0, 1).index_select(0, _flat(source, values.shape[1], _numbers(source)))
    return rows.reshape(*source.shape, *values.shape[2:])


def merge_tokens(x: Tensor, plan: MergePlan, size: Tensor | None = None, padded: bool = True) -> tuple[Tensor, Tensor]:
    """`timm_mergemix.functional.merge_tokens` without its checks, for the forward pass.

    Args:
        x: (B, N, C).
        plan: Which tokens merge.
        size: (B, N) float32; None if each token stands for one patch.
        padded: Whether sizes may be 0.
    """
    if size is None:
        size, padded = torch.ones(x.shape[:2], dtype=torch.float32, device=x.device), False
    kept_size, joining_size = size.gather(1, plan.keep), size.gather(1, plan.source)
    if writes_onnx():
        total = kept_size + (members(plan.target, kept_size.shape[1]) @ joining_size.unsqueeze(-1)).squeeze(-1)
    else:
        total = kept_size.scatter_add_(1, plan.target, joining_size)
    whole = total.gather(1, plan.target)
    whole = whole.clamp_min(1.0) if padded else whole  # padding has no share
    wide = torch.promote_types(x.dtype, size.dtype)  # 1 / 3 in float32 is too coarse for float64
    share = (joining_size.to(wide) / whole.to(wide)).to(x.dtype).unsqueeze(-1)
    if has_short_gradient(x, size, padded):
        return MergeRows.apply(x, share, size, total, *plan), total
    return merge_rows(x, plan, share), total


def merge_rows(x: Tensor, plan: MergePlan, share: Tensor) -> Tensor:
    """The tokens (B, N - r, C) that `merge_tokens` returns.

    The mean is a step from the target towards what joins it: only r rows are touched, the others not by a bit. Under
    ``torch.use_deterministic_algorithms(True)`` torch adds up in one order on CUDA too.

    Args:
        x: (B, N, C).
        plan: Which tokens merge.
        share: (B, r, 1), how much of its target each of those that merge becomes.
    """
    if x.device.type == "cpu" or torch.is_grad_enabled():
        return merge_flat(x, plan, share)
    return merge_gathered(x, plan, share)


def merge_gathered(x: Tensor, plan: MergePlan, share: Tensor) -> Tensor:
    """`merge_rows` by few kernels, where no gradient is recorded: a gather would keep all of ``x`` for it."""
    kept, joining = take_rows(x, plan.keep), take_rows(x, plan.source)
    target = plan.target.unsqueeze(-1).expand(-1, -1, x.shape[2])
    return kept.scatter_add_(1, target, (joining - kept.gather(1, target)) * share)


def merge_flat(x: Tensor, plan: MergePlan, share: Tensor) -> Tensor:
    """`merge_rows` in one sequence of all rows of the batch.

    Whole rows are then copied by ``index_select``: ``gather`` goes number by number on the CPU, ten times as slow.
    """
    rows, numbers, length = x.flatten(0, 1), _numbers(plan.keep), plan.keep.shape[1]
    target = _flat(plan.target, length, numbers)
    kept = rows.index_select(0, _flat(plan.keep, x.shape[1], numbers))
    joining = rows.index_select(0, _flat(plan.source, x.shape[1], numbers))
    step = (joining - kept.index_select(0, target)) * share.flatten(0, 1)
    if writes_onnx():
        steps = step.reshape(*plan.target.shape, x.shape[2])
        return kept.reshape(*plan.keep.shape, x.shape[2]) + members(plan.target, length).to(x.dtype) @ steps
    return kept.index_add_(0, target, step).reshape(*plan.keep.shape, x.shape[2])


def has_short_gradient(x: Tensor, size: Tensor, padded: bool) -> bool:
    """Whether `MergeRows` may stand for `merge_rows`: in an eager backward pass, which nothing else looks into."""
    if padded or not (x.requires_grad and torch.is_grad_enabled()) or size.requires_grad:
        return False
    return not is_looked_into(x)


def is_looked_into(x: Tensor) -> bool:
    """Whether a compiler, a tracer, ``torch.func`` or forward mode takes part in what is done with a tensor."""
    if torch.compiler.is_compiling() or is_tracing():
        return True
    return functorch.is_functorch_wrapped_tensor(x) or unpack_dual(x).tangent is not None


class MergeRows(torch.autograd.Function):
    """`merge_rows` with its gradient in one piece: each token gets its share of its target's gradient.

    That takes half of the kernels that the gradients of the single steps take, and adds up nothing.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, share: Tensor, size: Tensor, total: Tensor, keep: Tensor, source: Tensor, target: Tensor
    ) -> Tensor:
        ctx.save_for_backward(size, total, keep, source, target)
        return merge_rows(x, MergePlan(keep, source, target), share)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        size, total, *plan = ctx.saved_tensors
        place = places(MergePlan(*plan))
        wide = torch.promote_types(grad.dtype, size.dtype)
        share = (size.to(wide) / total.gather(1, place)).to(grad.dtype)
        return recover(grad, place) * share.unsqueeze(-1), None, None, None, None, None, None


def _numbers(index: Tensor) -> Tensor:
    """The number of each row of (B, K) positions: (B, 1)."""
    return torch.arange(index.shape[0], device=index.device).unsqueeze(1)


def _flat(index: Tensor, length: int, numbers: Tensor) -> Tensor:
    """Positions (B, K) in sequences of that length, as positions in one sequence of all rows of the batch."""
    return torch.add(index, numbers, alpha=length).flatten()


def members(index: Tensor, length: int) -> Tensor:
    """Which of K entries belong to each of ``length`` tokens, as ones and zeros: (B, length, K) float32.

    Its product with the entries adds them up. ONNX's tracing exporter needs that: it writes ``index_add``, and with
    opsets before 16 ``scatter_add`` too, so that only the last entry of a token counts.

    Args:
        index: (B, K) int64, the token of each entry.
        length: Number of tokens.
    """
    return (index.unsqueeze(1) == torch.arange(length, device=index.device).unsqueeze(1)).float()


def compose_source(plan: MergePlan, source: Tensor | None = None) -> Tensor:
    """`timm_mergemix.functional.compose_source` without its checks, for the forward pass."""
    place = places(plan)
    return place if source is None else place.gather(1, source)


def places(plan: MergePlan) -> Tensor:
    """The new position of each old token: (B, N) int64."""
    batch, kept = plan.keep.shape
    place = plan.keep.new_empty(batch, kept + plan.source.shape[1])
    place.scatter_(1, plan.keep, torch.arange(kept, device=place.device).expand(batch, -1))
    return place.scatter_(1, plan.source, plan.target)


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
