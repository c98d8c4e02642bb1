"""Cosine similarity of keys."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..autocast import without_autocast
from ..tracing import is_looked_into

__all__ = ["cosines", "directions"]

# CUDA has one kernel for this norm since torch 2.9; before that, and on the CPU, it is made of more than ours.
_HAS_FUSED_NORM = hasattr(torch.ops.aten, "_fused_rms_norm_backward")


def directions(keys: Tensor) -> Tensor:
    """Keys (B, N, D) of any float dtype, brought to one length, in float32; zeros stay zeros.

    Their length is 1, or the root of D where `norms_by_one_kernel`.
    """
    keys = keys.float()
    if norms_by_one_kernel(keys):
        return fused_directions(keys)
    return keys / torch.linalg.vector_norm(keys, dim=-1, keepdim=True).clamp_min(1e-12)


def cosines(a: Tensor, b: Tensor) -> Tensor:
    """Cosine similarity of (B, R, D) and (B, C, D) `directions`: (B, R, C) float32, under autocast too."""
    with without_autocast(a.device.type):
        return fused_cosines(a, b) if norms_by_one_kernel(a) else torch.bmm(a, b.transpose(1, 2))


def norms_by_one_kernel(keys: Tensor) -> bool:
    """Whether one kernel brings keys to the root of D as their length, where three would bring them to 1."""
    if not _HAS_FUSED_NORM or keys.device.type not in ("cuda", "meta") or keys.shape[-1] == 0:
        return False
    return not is_looked_into(keys)


def fused_directions(keys: Tensor) -> Tensor:
    """Float32 keys (B, N, D) at the root of D as their length."""
    return F.rms_norm(keys, keys.shape[-1:], eps=1e-30)


def fused_cosines(a: Tensor, b: Tensor) -> Tensor:
    """`cosines` of `fused_directions`: the product takes the factor D out."""
    return torch.baddbmm(a.new_empty(()), a, b.transpose(1, 2), beta=0, alpha=1 / a.shape[-1])
