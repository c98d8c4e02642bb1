"""A public name, one valid call of it, and what must hold of whatever it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["Case", "agrees", "between", "d", "f", "i", "require", "spread"]


@dataclass(frozen=True)
class Case:
    """One valid call.

    Attributes:
        call: Takes the arguments by name.
        given: Makes them.
        check: Takes the result and, by name, the arguments; raises an AssertionError if something is wrong with it.
        also: Names beside those of the arguments that its errors may have.
        users: Arguments that are code of a user's, or tensors that go into it: its errors are its own.
    """

    call: Callable[..., Any]
    given: Callable[[], dict[str, Any]]
    check: Callable[..., None]
    also: tuple[str, ...] = ()
    users: tuple[str, ...] = ()


def require(holds: Any, what: str) -> None:
    """Raises unless something holds."""
    if not holds:
        raise AssertionError(what)


def f(*shape: int, seed: int = 0) -> Tensor:
    """Normally distributed numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def i(high: int, *shape: int, seed: int = 0) -> Tensor:
    """Integers below a limit."""
    return torch.randint(high, shape, generator=torch.Generator().manual_seed(seed))


def spread(*shape: int, seed: int = 0) -> Tensor:
    """Positive numbers; those of an image sum to 1."""
    values = f(*shape, seed=seed).exp()
    return values / values.flatten(1).sum(dim=1).view(-1, *(1,) * (len(shape) - 1))


def d(value: Any) -> Any:
    """A tensor in float64, without what else there is about it; anything else as it is."""
    return value.detach().as_subclass(Tensor).double() if isinstance(value, Tensor) else value


def agrees(got: Any, wanted: Tensor, tolerance: float | None = None) -> None:
    """Raises unless a tensor has the numbers of a reference in float64, as far as its dtype can; NaN where it has."""
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
    """Raises unless all numbers are within limits, but for rounding."""
    if not got.is_meta and got.numel():
        values = d(got)
        require(bool(((values >= low - 1e-5) & (values <= high + 1e-5)).all()), f"{what} not from {low} to {high}")
