"""Counts of what a call costs an accelerator: kernels, and operations for which the host has to wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["Copy", "Counts", "count", "is_aligned"]

# The host reads a value, or the shape of the result depends on values.
WAITING = (
    "_local_scalar_dense",
    "is_nonzero",
    "nonzero",
    "nonzero_numpy",
    "masked_select",
    "equal",
    "allclose",
    "unique_dim",
    "unique_consecutive",
    "_unique",
    "_unique2",
    "bincount",
    "histc",
    "repeat_interleave",
)
# They allocate, or change what a tensor says about its memory; nothing runs on the device.
FREE = ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "promote_types", "_to_copy", "copy_")
# In torch's composite functions these build a tensor on the device from a Python list, by a copy that waits.
FROM_LIST = (torch.tensor, torch.as_tensor, Tensor.new_tensor)


class Copy(NamedTuple):
    """A copy from the host to the device.

    Attributes:
        numel: Number of elements.
        non_blocking: Whether the host goes on while it runs, given that its memory is pinned.
        kernels: How many kernels had been launched before it.
    """

    numel: int
    non_blocking: bool
    kernels: int


class Counts:
    """What one call did.

    Attributes:
        kernels: How often each operation was launched that computes something.
        waits: How often each operation ran for which the host waits, apart from copies.
        copies: Copies from the host to the device, in their order.
        copied_masks: How many masks of attention would be copied to memory that a fused kernel can read.
    """

    def __init__(self) -> None:
        self.kernels: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()
        self.copies: list[Copy] = []
        self.copied_masks = 0

    @property
    def launched(self) -> int:
        """Number of kernels."""
        return self.kernels.total() + self.copied_masks

    @property
    def synchronisations(self) -> int:
        """Number of operations for which the host waits."""
        return self.waits.total() + sum(not copy.non_blocking for copy in self.copies)


def count(call: Callable[[], Any], host: str = "cpu") -> Counts:
    """Counts what a call does.

    Tensors on ``meta`` stand for those on an accelerator: their shapes are known, and no value of them can be read.
    What runs on the host alone does not count, so a call on the CPU has to be counted with another ``host``.

    Args:
        call: What is counted.
        host: Type of the device whose operations cost nothing.
    """
    counts = Counts()
    with _Functions(counts, host), _Operations(counts, host):
        call()
    return counts


class _Functions(TorchFunctionMode):
    """Sees what a meta device dispatches otherwise than an accelerator does.

    Tensors that are built from Python numbers, which it dispatches as nothing; the norm by the root of the mean square,
    which it takes apart, and for which CUDA has one kernel since torch 2.9; and the fused attention, which it takes
    apart too, and for which CUDA copies a mask first whose strides are no multiples of 8.
    """

    def __init__(self, counts: Counts, host: str) -> None:
        super().__init__()
        self.counts = counts
        self.host = host

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention and args[0].device.type != self.host:
            mask = kwargs.get("attn_mask", args[3] if len(args) > 3 else None)
            self.counts.copied_masks += mask is not None and not is_aligned(mask)
            return _Attention.apply(*args[:3], self.counts)
        if func is F.rms_norm and args[0].device.type != self.host and not args[0].requires_grad:
            self.counts.kernels["rms_norm"] += 1
            return torch.empty_like(args[0])
        out = func(*args, **kwargs)
        data = args[-1] if args else None
        if func in FROM_LIST and out.device.type != self.host and not isinstance(data, Tensor):
            self.counts.waits[f"{func.__name__} of Python numbers"] += 1
        return out


class _Attention(torch.autograd.Function):
    """A fused attention that computes nothing: one kernel forward, one backward."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, counts: Counts) -> Tensor:
        ctx.counts, ctx.shapes = counts, (query.shape, key.shape, value.shape)
        counts.kernels["attention"] += 1
        batch, heads, length, _ = query.shape
        # As the fused kernels lay it out, so that the heads of a token stand together.
        return query.new_empty(batch, length, heads, value.shape[-1]).transpose(1, 2)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        ctx.counts.kernels["attention backward"] += 1
        return (*(grad.new_empty(shape) for shape in ctx.shapes), None)


def is_aligned(mask: Tensor) -> bool:
    """Whether a fused attention on CUDA takes a mask as it is."""
    return mask.stride(-1) == 1 and all(stride % 8 == 0 for stride in mask.stride()[:-1])


class _Operations(TorchDispatchMode):
    """Sees each operation."""

    def __init__(self, counts: Counts, host: str) -> None:
        super().__init__()
        self.counts = counts
        self.host = host

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        before = list(_tensors((args, kwargs)))
        out = func(*args, **kwargs)
        self._note(func, before, list(_tensors(out)), args, kwargs)
        return out

    def _note(self, func: Any, before: list[Tensor], after: list[Tensor], args: Any, kwargs: Any) -> None:
        name = func.overloadpacket.__name__
        devices = {tensor.device.type for tensor in (*before, *after)} - {self.host}
        if not devices:
            return
        if name in ("_to_copy", "copy_"):
            self._note_copy(before, after, args, kwargs)
        elif name in WAITING:
            self.counts.waits[name] += 1
        elif name in ("index", "index_put", "index_put_", "_index_put_impl_") and _is_masked(args):
            self.counts.waits[f"{name} by a mask"] += 1
        elif name == "where" and len({tensor.device.type for tensor in before}) > 1:
            self.counts.waits["where with a number of the host"] += 1
        if name not in FREE and not func.is_view:
            self.counts.kernels[name] += 1

    def _note_copy(self, before: list[Tensor], after: list[Tensor], args: Any, kwargs: Any) -> None:
        source, target = (before[1], before[0]) if len(before) > 1 else (before[0], after[0])
        names = tuple(tensor.device.type for tensor in (source, target))
        if self.host not in names:
            self.counts.kernels["copy"] += 1
        elif names[0] == self.host:
            non_blocking = bool(kwargs.get("non_blocking", len(before) > 1 and len(args) > 2 and args[2]))
            self.counts.copies.append(Copy(source.numel(), non_blocking, self.counts.launched))
        else:
            self.counts.waits["copy to the host"] += 1


def _is_masked(args: Any) -> bool:
    return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])


def _tensors(values: Any) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, (list, tuple)):
        for value in values:
            yield from _tensors(value)
    elif isinstance(values, dict):
        yield from _tensors(list(values.values()))
