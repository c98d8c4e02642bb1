"""Hostile arguments: values of the wrong kind, and tensors that are almost right."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision import tv_tensors

__all__ = ["DTYPES", "changes", "copied", "same"]

DTYPES = tuple(
    getattr(torch, name)
    for name in (
        *("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "complex64", "complex128"),
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    )
    if hasattr(torch, name)
)

# Values that a caller may pass for any argument; each is made anew for every call.
VALUES: Mapping[str, Callable[[], Any]] = {
    "None": lambda: None,
    "True": lambda: True,
    "False": lambda: False,
    "0": lambda: 0,
    "1": lambda: 1,
    "-1": lambda: -1,
    "2": lambda: 2,
    "2.5": lambda: 2.5,
    "0.5": lambda: 0.5,
    "a large integer": lambda: 10**400,
    "a large float": lambda: 1e308,
    "nan": lambda: math.nan,
    "inf": lambda: math.inf,
    "-inf": lambda: -math.inf,
    "1j": lambda: 1j,
    "empty text": lambda: "",
    "text": lambda: "no",
    "bytes": lambda: b"no",
    "empty list": lambda: [],
    "empty tuple": lambda: (),
    "empty dictionary": lambda: {},
    "list": lambda: [1.0, "x", None],
    "nested list": lambda: [[0.1, 0.2], [0.3]],
    "pair of numbers": lambda: (0.8, 0.1),
    "dictionary": lambda: {"a": 1},
    "set": lambda: {1},
    "object": object,
    "function": lambda: len,
    "class": lambda: int,
    "module": nn.Identity,
    "dtype": lambda: torch.float32,
    "device": lambda: torch.device("meta"),
    "generator": lambda: torch.Generator().manual_seed(0),
    "numpy number": lambda: np.float32(0.5),
    "numpy integer": lambda: np.int64(2),
    "numpy bool": lambda: np.bool_(True),
    "numpy array": lambda: np.ones((2, 3)),
    "numpy text": lambda: np.array(["a", "b"]),
    "scalar tensor": lambda: torch.tensor(0.5),
    "vector": lambda: torch.ones(3),
    "empty tensor": lambda: torch.empty(0),
}


def _at(value: Tensor, number: float) -> Tensor:
    """A copy with another number in one element."""
    out = value.clone()
    if out.numel():
        out.view(-1)[out.numel() // 2] = number
    return out


def _limits(value: Tensor) -> Any:
    return torch.finfo(value.dtype) if value.is_floating_point() else torch.iinfo(value.dtype)


def _filled(value: Tensor, number: float) -> Tensor:
    return torch.full_like(value, number)


# Changes of a valid tensor. Changes that are impossible for a tensor are left out.
TENSORS: dict[str, Callable[[Tensor], Any]] = {
    "sparse": lambda t: t.to_sparse(),
    "compressed": lambda t: t.flatten(1).to_sparse_csr(),
    "nested": lambda t: torch.nested.nested_tensor(list(t)),
    "jagged": lambda t: torch.nested.nested_tensor(list(t.unsqueeze(-1)), layout=torch.jagged),
    "on meta": lambda t: t.to("meta"),
    "no row": lambda t: t[:0],
    "nothing in the last axis": lambda t: t[..., :0],
    "one row": lambda t: t[:1],
    "a row more": lambda t: torch.cat([t, t[:1]]),
    "an axis more": lambda t: t.unsqueeze(0),
    "an axis at the end": lambda t: t.unsqueeze(-1),
    "an axis less": lambda t: t[0],
    "flat": lambda t: t.flatten(),
    "a column less": lambda t: t[..., :-1],
    "a column more": lambda t: torch.cat([t, t[..., :1]], dim=-1),
    "transposed": lambda t: t.transpose(-1, -2),
    "with a nan": lambda t: _at(t, math.nan),
    "with inf": lambda t: _at(t, math.inf),
    "with -inf": lambda t: _at(t, -math.inf),
    "with -1": lambda t: _at(t, -1),
    "with 2": lambda t: _at(t, 2),
    "with 100": lambda t: _at(t, 100),
    "all nan": lambda t: _filled(t, math.nan),
    "all 0": torch.zeros_like,
    "all 1": torch.ones_like,
    "all -1": lambda t: _filled(t, -1),
    "all largest": lambda t: _filled(
        t, torch.finfo(t.dtype).max if t.is_floating_point() else torch.iinfo(t.dtype).max
    ),
    "all smallest": lambda t: _filled(t, _limits(t).tiny if t.is_floating_point() else _limits(t).min),
    "with a gradient": lambda t: t.clone().requires_grad_(),
    "of a graph": lambda t: t.clone().requires_grad_() * 1,
    "a parameter": lambda t: nn.Parameter(t.clone()),
    "a buffer": lambda t: nn.Buffer(t.clone()),
    "a torchvision image": lambda t: tv_tensors.Image(t),
    "expanded": lambda t: t[:1].expand(t.shape),
    "not contiguous": lambda t: t.repeat_interleave(2, dim=-1)[..., ::2],
    "channels last": lambda t: t.contiguous(memory_format=torch.channels_last),
    "negated lazily": lambda t: torch._neg_view(t),
    "numpy": lambda t: t.numpy(),
    "a list": lambda t: t.tolist(),
    "a tuple of rows": lambda t: tuple(t),
    "quantised": lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.quint8),
    **{f"as {str(dtype).removeprefix('torch.')}": (lambda t, dtype=dtype: t.to(dtype)) for dtype in DTYPES},
}


def changes(value: Any) -> dict[str, Callable[[Any], Any]]:
    """The changes that can be made to a value, by name; each is a function of the value."""
    found: dict[str, Callable[[Any], Any]] = {name: (lambda _, make=make: make()) for name, make in VALUES.items()}
    if isinstance(value, Tensor):
        found |= {name: change for name, change in TENSORS.items() if _can(change, value)}
    elif isinstance(value, tuple) and value and all(isinstance(part, Tensor) for part in value):
        fitting = {name: change for name, change in TENSORS.items() if _can(change, value[0])}
        found |= {f"{name}, in part": _in_part(change) for name, change in fitting.items()}
    return found


def _in_part(change: Callable[[Tensor], Any]) -> Callable[[Any], Any]:
    def changed(whole: Any) -> Any:
        parts = [change(whole[0]), *whole[1:]]
        return type(whole)(*parts) if hasattr(whole, "_fields") else tuple(parts)

    return changed


def _can(change: Callable[[Tensor], Any], value: Tensor) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            copied(change(value))
    except (RuntimeError, TypeError, ValueError, NotImplementedError, IndexError):
        return False
    return True


def copied(value: Any) -> Any:
    """A copy of the numbers of a tensor or an array, for a later comparison; None for anything else."""
    if isinstance(value, Tensor):
        dense = value.layout == torch.strided and not value.is_nested and not value.is_quantized
        return value.detach().clone() if dense and value.device.type == "cpu" else None
    return value.copy() if isinstance(value, np.ndarray) else None


def same(value: Any, before: Any) -> bool:
    """Whether a value is still bitwise equal to what `copied` returned for it."""
    if isinstance(value, np.ndarray):
        return bool((value == before).all())
    return torch.equal(_bits(value), _bits(before))


def _bits(value: Tensor) -> Tensor:
    plain = value.detach().as_subclass(Tensor).resolve_conj().resolve_neg().contiguous()
    return plain.reshape(-1).view(torch.uint8)
