"""What torch's tracers and exporters need: lengths that a trace fixes, symbols, operators that ONNX lacks."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable

import torch
from torch import SymInt, Tensor
from torch._C import _functorch as functorch
from torch.autograd.forward_ad import unpack_dual
from torch.jit import is_tracing  # type: ignore[attr-defined]

__all__ = [
    "check_length",
    "is_exporting",
    "is_looked_into",
    "is_symbol",
    "may_merge",
    "token_count",
    "writes_onnx",
]


def token_count(x: Tensor) -> int:
    """N of (B, N, C): a symbol where an export leaves it open, a plain integer also under ``torch.jit.trace``."""
    return int(x.shape[1]) if is_tracing() else x.shape[1]


# Releases of torch before 2.7 do not tell an export from a compilation.
_is_torch_exporting: Callable[[], bool] = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)


def check_length(x: Tensor, length: int) -> Tensor:
    """Makes a trace refuse other numbers of tokens than its example had; elsewhere it does nothing.

    How many tokens merge is fixed by a trace. ONNX has no assertions; there, other numbers fail to broadcast.

    Args:
        x: (B, N, C).
        length: N, as the example of the trace has it.

    Returns:
        ``x`` itself, which must be used from here on.
    """
    if not is_tracing():
        return x
    if torch.onnx.is_in_onnx_export():
        return x.expand(-1, length, -1)
    return _scripted_check()(x, length)


def is_symbol(number: object) -> bool:
    """Whether a number is a symbol of an exporter, which a comparison could fix."""
    return isinstance(number, SymInt)


def may_merge(r: int) -> bool:
    """Whether ``r`` merges anything; True for an exporter's symbol."""
    return is_symbol(r) or r > 0


def is_looked_into(x: Tensor) -> bool:
    """Whether a compiler, a tracer, ``torch.func`` or forward mode takes part in what is done with a tensor."""
    if torch.compiler.is_compiling() or is_tracing():
        return True
    return functorch.is_functorch_wrapped_tensor(x) or unpack_dual(x).tangent is not None


def writes_onnx() -> bool:
    """Whether the ONNX exporter that traces is at work (``dynamo=False``); it lacks operators, and has wrong ones."""
    return is_tracing() and torch.onnx.is_in_onnx_export()


def is_exporting() -> bool:
    """Whether an exporter is at work, maybe to ONNX, which has neither stable sorts nor searches in sorted rows."""
    return _is_torch_exporting() or writes_onnx()


def _refuse_other_lengths(x: Tensor, length: int) -> Tensor:
    if x.size(1) != length:
        raise ValueError(
            f"x: got {x.size(1)} tokens, wanted {length}, as in the example that this patched model was traced with; "
            "trace it once for each image size"
        )
    return x


@functools.cache
def _scripted_check() -> Callable[[Tensor, int], Tensor]:
    # A trace keeps an assertion only in a function that was compiled, which newer releases of torch warn of.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(_refuse_other_lengths)
