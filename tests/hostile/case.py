"""A valid call of a public name, with a check of what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["Case", "agrees", "between", "d", "f", "i", "require", "spread"]


@dataclass(frozen=True)
class Case:
    """A valid call of a public name.

    Attributes:
        call: The function, which takes its arguments by name.
        given: Makes the arguments.
        check: Takes the result, and the arguments by name; raises an AssertionError if the result is wrong.
        also: Names other than those of the arguments that its errors may use.
        users: Arguments that are user code or tensors passed to it, which may raise errors of its own.
    """

    call: Callable[..., Any]
    given: Callable[[], dict[str, Any]]
    check: Callable[..., None]
    also: tuple[str, ...] = ()
    users: tuple[str, ...] = ()


def require(holds: Any, what: str) -> None:
    """Raises unless the condition holds."""
    if not holds:
        raise AssertionError(what)


def f(*shape: int, seed: int = 0) -> Tensor:
    """Normally distributed float numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def i(high: int, *shape: int, seed: int = 0) -> Tensor:
    """Random integers below a limit."""
    return torch.randint(high, shape, generator=torch.Generator().manual_seed(seed))


def spread(*shape: int, seed: int = 0) -> Tensor:
    """Positive numbers that sum to 1 for each image."""
    values = f(*shape, seed=seed).exp()
    return values / values.flatten(1).sum(dim=1).view(-1, *(1,) * (len(shape) - 1))


def d(value: Any) -> Any:
    """A tensor as a plain tensor in float64; anything else is returned unchanged."""
    return value.detach().as_subclass(Tensor).double() if isinstance(value, Tensor) else value


def agrees(got: Any, wanted: Tensor, tolerance: float | None = None) -> None:
    """Raises unless a tensor equals a float64 reference within the precision of its dtype; NaN equals NaN."""
    require(isinstance(got, Tensor), f"a {type(got).__name__} in place of a tensor")
    require(got.shape == wanted.shape, f"shape {tuple(got.shape)}, not {tuple(wanted.shape)}")
    if got.is_meta or wanted.is_meta:
        return
    if tolerance is None:
        tolerance = 16 * torch.finfo(got.dtype).eps if got.is_floating_point() else 0
    wanted = wanted.to(got.dtype).double() if got.is_floating_point() else wanted
    scale = wanted[wanted.isfinite()].abs().max().clamp_min(1).item() if wanted.isfinite().any() else 1.0
    torch.testing.assert_close(d(got), d(wanted), rtol=tolerance, atol=tolerance * scale, equal_nan=True)


def between(got: Tensor, low: float, high: float, what: str = "a number") -> None:
    """Raises unless all numbers are within the limits, up to rounding."""
    if not got.is_meta and got.numel():
        values = d(got)
        require(bool(((values >= low - 1e-5) & (values <= high + 1e-5)).all()), f"{what} not from {low} to {high}")
