"""What was drawn on the host -> the device of the images, by one copy for which the host does not wait."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import torch
from torch import Tensor

__all__ = ["pack", "to_device", "unpack"]

ALIGNMENT = 8  # bytes of the widest dtype that is drawn
PINNED = ("cuda",)  # devices that copy from pinned memory while the host goes on


def to_device(tensors: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Tensors of the host on a device.

    All of them are packed into one buffer, so that an accelerator gets one copy. The host does not wait for it.

    Args:
        tensors: On the CPU.
        device: Where they go.

    Returns:
        The same values there; the same tensors where that is the CPU.
    """
    if device.type == "cpu" or not tensors:
        return list(tensors)
    there = pack(tensors, pinned=device.type in PINNED).to(device, non_blocking=True)
    return unpack(there, tensors)


def pack(tensors: Sequence[Tensor], pinned: bool = False) -> Tensor:
    """All bytes of some tensors in one buffer, each from an aligned byte on: (K,) uint8."""
    packed = torch.empty(sum(map(_room, tensors)), dtype=torch.uint8, pin_memory=pinned)
    for part, tensor in zip(unpack(packed, tensors), tensors, strict=True):
        part.copy_(tensor)
    return packed


def unpack(packed: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """The parts of a buffer as tensors, of the shapes and dtypes of those that were packed; on any device."""
    parts, start = [], 0
    for tensor in like:
        parts.append(packed[start : start + tensor.nbytes].view(tensor.dtype).view(tensor.shape))
        start += _room(tensor)
    return parts


def _room(tensor: Tensor) -> int:
    return ceil(tensor.nbytes / ALIGNMENT) * ALIGNMENT
