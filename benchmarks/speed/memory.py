"""Measures the memory that a training step keeps for its backward pass."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["memory_of"]


def memory_of(loss: Callable[[], Tensor], model: nn.Module) -> int:
    """Returns the bytes of the tensors saved for the backward pass; on CUDA, the peak of allocated memory.

    Args:
        loss: Runs a forward pass of the model and returns the loss.
        model: The model; its parameters are not counted on the CPU.
    """
    device = next(model.parameters()).device
    if device.type != "cuda":
        return _saved(loss, {p.untyped_storage().data_ptr() for p in model.parameters()})
    model.zero_grad()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    loss().backward()
    return torch.cuda.max_memory_allocated(device)


def _saved(loss: Callable[[], Tensor], known: set[int]) -> int:
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        held = loss()  # kept alive, so that no storage is freed and its address counted again
    del held
    return sum(storages.values())
