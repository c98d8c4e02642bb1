"""A merge plan applied: tokens, sizes and the source map, and the way back."""

from __future__ import annotations

import torch
from torch import Tensor

from ..tracing import writes_onnx
from .plan import MergePlan

__all__ = ["compose_source", "log_size_bias", "members", "merge_tokens", "recover"]


def recover(values: Tensor, source: Tensor) -> Tensor:
    """`timm_mergemix.functional.recover` without its checks, for the forward pass."""
    if values.ndim == 2:
        return values.gather(1, source)
    rows = values.flatten(0, 1).index_select(0, _rows(source, values.shape[1]))
    return rows.reshape(*source.shape, *values.shape[2:])


def _rows(index: Tensor, length: int) -> Tensor:
    """Positions (B, K) in sequences of that length, as positions in one sequence of all rows of the batch.

    Whole rows are then copied by ``index_select``: ``gather`` goes number by number on the CPU, ten times as slow.
    """
    batch = torch.arange(index.shape[0], device=index.device).unsqueeze(1)
    return torch.add(index, batch, alpha=length).flatten()


def merge_tokens(x: Tensor, plan: MergePlan, size: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """`timm_mergemix.functional.merge_tokens` without its checks, for the forward pass."""
    if size is None:
        size = torch.ones(x.shape[:2], dtype=torch.float32, device=x.device)
    size, joining_size = size.gather(1, plan.keep), size.gather(1, plan.source)
    if writes_onnx():
        size = size + (members(plan.target, size.shape[1]) @ joining_size.unsqueeze(-1)).squeeze(-1)
    else:
        size = size.scatter_add(1, plan.target, joining_size)
    wide = torch.promote_types(x.dtype, size.dtype)  # a third of float32 is none of float64
    share = joining_size.to(wide) / size.gather(1, plan.target).clamp_min(1.0).to(wide)  # padding has none
    rows, target = x.flatten(0, 1), _rows(plan.target, plan.keep.shape[1])
    kept = rows.index_select(0, _rows(plan.keep, x.shape[1]))
    joining = rows.index_select(0, _rows(plan.source, x.shape[1]))
    # The mean as a step from the target towards what joins it: only r rows are touched, the others not by a bit.
    step = (joining - kept.index_select(0, target)) * share.to(x.dtype).view(-1, 1)
    if writes_onnx():
        steps = step.reshape(*plan.target.shape, x.shape[2])
        return kept.reshape(*plan.keep.shape, x.shape[2]) + members(plan.target, size.shape[1]).to(
            x.dtype
        ) @ steps, size
    return kept.index_add_(0, target, step).reshape(*plan.keep.shape, x.shape[2]), size


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
    batch, kept = plan.keep.shape
    step = plan.keep.new_empty(batch, kept + plan.source.shape[1])
    step.scatter_(1, plan.keep, torch.arange(kept, device=step.device).expand(batch, -1))
    step.scatter_(1, plan.source, plan.target)
    return step if source is None else step.gather(1, source)


def log_size_bias(size: Tensor | None, dtype: torch.dtype, proportional: bool = True) -> Tensor | None:
    """`timm_mergemix.functional.log_size_bias` without its checks, for the forward pass."""
    if size is None:
        return None
    counts = size if proportional else size.clamp_max(1.0)
    return counts.log().to(dtype).clamp_min(torch.finfo(dtype).min)[:, None, None, :]
